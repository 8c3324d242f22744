//! The page's markup.

use std::fmt::Write;

use super::svg::escape;
use super::{Cell, Curve, Panel, Picture, Report, Shading, Table, Tile, base64, intervals, svg};

const STYLE: &str = include_str!("style.css");

/// `<tag>text</tag>`, or nothing where the text is empty.
fn element(tag: &str, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("<{tag}>{}</{tag}>\n", escape(text))
    }
}

/// A list, or nothing where there is no item.
fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| element("li", item)).collect();
    format!("<ul>\n{items}</ul>\n")
}

pub(super) fn page(report: &Report) -> String {
    let title = escape(&report.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    if !report.summary.is_empty() {
        let _ = writeln!(html, "<p class=\"summary\">{}</p>", escape(&report.summary));
    }
    html.push_str(&list(&report.findings));
    if !report.facts.is_empty() {
        html.push_str("<dl>\n");
        for (name, value) in &report.facts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        html.push_str("</dl>\n");
    }
    html.extend(report.panels.iter().map(panel));
    html.extend(report.tables.iter().map(table));
    if !report.curves.is_empty() {
        html.push_str("<h2>Curves</h2>\n<div class=\"curves\">\n");
        html.extend(report.curves.iter().map(curve));
        html.push_str("</div>\n");
    }
    html.extend(report.pictures.iter().map(picture));
    if !report.notes.is_empty() {
        html.push_str("<h2>Notes</h2>\n");
        html.push_str(&list(&report.notes));
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn table(table: &Table) -> String {
    let mut html = element("h2", &table.title) + &element("p", &table.text);
    html.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    let _ = write!(html, "<th>{}</th>", escape(&table.corner));
    for column in &table.columns {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(column));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&row.name));
        let values = row.cells.iter().filter_map(Cell::value);
        let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = values.sum();
        for cell in &row.cells {
            let text = cell_text(cell, table.decimals);
            let mark = match (cell, cell.value()) {
                (Cell::Difference { interval, .. }, _) => sign(*interval).to_owned(),
                (_, Some(value)) => shade(table.shading, value, largest, sum),
                (_, None) => String::new(),
            };
            let _ = write!(html, "<td{mark}>{text}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
    html
}

fn cell_text(cell: &Cell, decimals: usize) -> String {
    match cell {
        Cell::Text(text) => escape(text),
        Cell::Number(value) => format!("{value:.decimals$}"),
        Cell::Count(count) => count.to_string(),
        Cell::Spread { mean, deviation } => match deviation {
            Some(deviation) => format!("{mean:.decimals$} \u{b1} {deviation:.decimals$}"),
            None => format!("{mean:.decimals$}"),
        },
        Cell::Difference { mean, interval } => match interval {
            Some([low, high]) => {
                format!("{mean:+.decimals$} <small>{low:+.decimals$} to {high:+.decimals$}</small>")
            }
            None => format!("{mean:+.decimals$}"),
        },
        Cell::Missing => "\u{2013}".to_owned(),
    }
}

/// The attribute of a difference that is none by chance.
fn sign(interval: Option<[f64; 2]>) -> &'static str {
    match interval {
        Some([low, _]) if low > 0.0 => " class=\"above\"",
        Some([_, high]) if high < 0.0 => " class=\"below\"",
        _ => "",
    }
}

/// The attribute that sets a number off within its row.
fn shade(shading: Shading, value: f64, largest: f64, sum: f64) -> String {
    match shading {
        Shading::Best if value == largest => " class=\"best\"".to_owned(),
        Shading::Share if sum > 0.0 => {
            // At most 0.7, so that the text stands out from its ground in either scheme.
            let strength = 0.7 * (value / sum).clamp(0.0, 1.0);
            format!(" style=\"background:rgba(0,114,178,{strength:.2})\"")
        }
        _ => String::new(),
    }
}

fn panel(panel: &Panel) -> String {
    let mut html = element("h2", &panel.title) + &element("p", &panel.text);
    html.push_str("<div class=\"curves\">\n");
    for plot in &panel.plots {
        let names = plot.series.iter().map(|series| series.name.as_str());
        html.push_str(&figure(&plot.title, &intervals::plot(plot), names));
    }
    html.push_str("</div>\n");
    html
}

fn curve(curve: &Curve) -> String {
    let names = curve.series.iter().map(|series| series.name.as_str());
    figure(&curve.title, &svg::curve(curve), names)
}

/// A drawing with its title and the names of its colours.
fn figure<'a>(title: &str, drawing: &str, names: impl Iterator<Item = &'a str>) -> String {
    let title = escape(title);
    let mut html = format!("<figure><figcaption>{title}</figcaption>{drawing}");
    html.push_str("<p class=\"legend\">");
    let named = names.enumerate().filter(|(_, name)| !name.is_empty());
    for (index, name) in named {
        let color = svg::color(index);
        let _ = write!(
            html,
            "<span><i style=\"background:{color}\"></i>{}</span> ",
            escape(name)
        );
    }
    html.push_str("</p></figure>\n");
    html
}

fn picture(picture: &Picture) -> String {
    let mut html = element("h2", &picture.title) + &element("p", &picture.text);
    html.push_str("<div class=\"tiles\">\n");
    html.extend(picture.tiles.iter().map(tile));
    html.push_str("</div>\n");
    html
}

fn tile(tile: &Tile) -> String {
    let caption = escape(&tile.caption);
    let class = if tile.wide { " class=\"wide\"" } else { "" };
    let mut html = format!(
        "<figure{class}><img alt=\"{caption}\" src=\"data:image/png;base64,{}\">",
        base64::encode(&tile.png)
    );
    let _ = write!(html, "<figcaption>{caption}</figcaption>");
    for (name, value) in &tile.bars {
        let percent = if value.is_finite() {
            100.0 * value.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let _ = write!(
            html,
            "<div class=\"bar\"><span>{}</span><b><i style=\"width:{percent:.0}%\"></i></b><span>{percent:.0}</span></div>",
            escape(name)
        );
    }
    html.push_str("</figure>\n");
    html
}
