//! The page's markup.

use std::fmt::Write;

use super::svg::escape;
use super::{Cell, Curve, Picture, Report, Shading, Table, Tile, base64, svg};

const STYLE: &str = include_str!("style.css");

/// `<tag>text</tag>`, or nothing where the text is empty.
fn element(tag: &str, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("<{tag}>{}</{tag}>\n", escape(text))
    }
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
    if !report.facts.is_empty() {
        html.push_str("<dl>\n");
        for (name, value) in &report.facts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        html.push_str("</dl>\n");
    }
    html.extend(report.tables.iter().map(table));
    if !report.curves.is_empty() {
        html.push_str("<h2>Curves</h2>\n<div class=\"curves\">\n");
        html.extend(report.curves.iter().map(curve));
        html.push_str("</div>\n");
    }
    html.extend(report.pictures.iter().map(picture));
    if !report.notes.is_empty() {
        html.push_str("<h2>Notes</h2>\n<ul>\n");
        html.extend(report.notes.iter().map(|note| element("li", note)));
        html.push_str("</ul>\n");
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
            let text = match cell {
                Cell::Text(text) => escape(text),
                Cell::Number(value) => format!("{value:.*}", table.decimals),
                Cell::Count(count) => count.to_string(),
                Cell::Missing => "\u{2013}".to_owned(),
            };
            let mark = cell.value().map_or(String::new(), |value| {
                shade(table.shading, value, largest, sum)
            });
            let _ = write!(html, "<td{mark}>{text}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
    html
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

fn curve(curve: &Curve) -> String {
    let mut html = format!(
        "<figure><figcaption>{}</figcaption>{}",
        escape(&curve.title),
        svg::curve(curve)
    );
    html.push_str("<p class=\"legend\">");
    for (index, series) in curve.series.iter().enumerate() {
        let color = svg::color(index);
        let _ = write!(
            html,
            "<span><i style=\"background:{color}\"></i>{}</span> ",
            escape(&series.name)
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
