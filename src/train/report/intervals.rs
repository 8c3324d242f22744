//! Means with their intervals as inline SVG.

use std::fmt::Write;

use super::super::curves::tick;
use super::svg::{HEIGHT, WIDTH, color, escape, ticks};
use super::{Intervals, Layout};

/// The width of a letter, roughly: names at the left of rows get as many.
const LETTER: f64 = 6.8;
/// Between the series of a place, and what a place has beside them.
const PITCH: f64 = 11.0;
const GAP: f64 = 13.0;
/// Above and below the plot.
const TOP: f64 = 24.0;
const BOTTOM: f64 = 42.0;

/// The range of values, with a margin; with zero in it where there is a line at zero.
fn range(plot: &Intervals) -> (f64, f64) {
    let values = plot.series.iter().flat_map(|series| &series.values);
    let ends = values.flatten().flatten().copied();
    let ends = ends.filter(|value| value.is_finite());
    let start = match plot.layout {
        Layout::Rows => (0.0, 0.0),
        Layout::Columns => (f64::INFINITY, f64::NEG_INFINITY),
    };
    let (low, high) = ends.fold(start, |(low, high): (f64, f64), value| {
        (low.min(value), high.max(value))
    });
    if low >= high {
        return match low.is_finite() {
            true => (low - 0.5, low + 0.5),
            false => (0.0, 1.0),
        };
    }
    let margin = 0.05 * (high - low);
    (low - margin, high + margin)
}

/// The plot without its title and legend.
pub(super) fn plot(plot: &Intervals) -> String {
    match plot.layout {
        Layout::Rows => rows(plot),
        Layout::Columns => columns(plot),
    }
}

fn open(plot: &Intervals, height: f64) -> String {
    let title = escape(&plot.title);
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">"#)
}

fn rows(plot: &Intervals) -> String {
    let (low, high) = range(plot);
    let letters = plot.places.iter().map(|name| name.chars().count()).max();
    let x0 = (LETTER * letters.unwrap_or(0) as f64 + 14.0).min(0.5 * WIDTH);
    let x1 = WIDTH - 22.0;
    let place = GAP + PITCH * plot.series.len() as f64;
    let y1 = TOP + place * plot.places.len() as f64;
    let x_at = |value: f64| x0 + (value - low) / (high - low) * (x1 - x0);
    let mut svg = open(plot, y1 + BOTTOM);
    // Writing to a string does not fail.
    for value in ticks(low, high, 5.0) {
        let x = x_at(value);
        let text = tick(value, high - low);
        let _ = write!(svg, r#"<path class="grid" d="M{x:.1} {TOP}V{y1}"/>"#);
        let y = y1 + 18.0;
        let _ = write!(svg, r#"<text class="mid" x="{x:.1}" y="{y}">{text}</text>"#);
    }
    let zero = x_at(0.0);
    let _ = write!(svg, r#"<path class="zero" d="M{zero:.1} {TOP}V{y1}"/>"#);
    for (index, name) in plot.places.iter().enumerate() {
        let y = TOP + place * index as f64;
        let _ = write!(svg, r#"<path class="grid" d="M0 {y:.1}H{x1}"/>"#);
        let middle = y + 0.5 * place + 4.5;
        let _ = write!(
            svg,
            r#"<text x="0" y="{middle:.1}">{}</text>"#,
            escape(name)
        );
        for (series, values) in plot.series.iter().enumerate() {
            let Some(Some([from, mean, to])) = values.values.get(index).copied() else {
                continue;
            };
            let y = y + 0.5 * (GAP + PITCH) + PITCH * series as f64;
            let [from, mean, to] = [from, mean, to].map(x_at);
            let color = color(series);
            let _ = write!(
                svg,
                r#"<path class="whisker" stroke="{color}" d="M{from:.1} {y:.1}H{to:.1}"/><circle fill="{color}" cx="{mean:.1}" cy="{y:.1}" r="3.5"/>"#
            );
        }
    }
    let (middle, foot) = (0.5 * (x0 + x1), y1 + BOTTOM - 5.0);
    let label = escape(&plot.label);
    let _ = write!(
        svg,
        r#"<text class="mid" x="{middle}" y="{foot}">{label}</text></svg>"#
    );
    svg
}

fn columns(plot: &Intervals) -> String {
    let (low, high) = range(plot);
    let (x0, x1, y1) = (48.0, WIDTH - 22.0, HEIGHT - BOTTOM);
    let y_at = |value: f64| y1 - (value - low) / (high - low) * (y1 - TOP);
    let place = (x1 - x0) / plot.places.len().max(1) as f64;
    let mut svg = open(plot, HEIGHT);
    for value in ticks(low, high, 5.0) {
        let y = y_at(value);
        let text = tick(value, high - low);
        let _ = write!(svg, r#"<path class="grid" d="M{x0} {y:.1}H{x1}"/>"#);
        let (x, y) = (x0 - 7.0, y + 4.5);
        let _ = write!(svg, r#"<text class="end" x="{x}" y="{y:.1}">{text}</text>"#);
    }
    let middle = |index: usize| x0 + place * (index as f64 + 0.5);
    for (index, name) in plot.places.iter().enumerate() {
        let (x, y) = (middle(index), y1 + 18.0);
        let name = escape(name);
        let _ = write!(svg, r#"<text class="mid" x="{x:.1}" y="{y}">{name}</text>"#);
    }
    let label = escape(&plot.label);
    let _ = write!(svg, r#"<text x="4" y="14">{label}</text>"#);
    let side = (0.6 * place / plot.series.len().max(1) as f64).min(9.0);
    for (series, values) in plot.series.iter().enumerate() {
        let color = color(series);
        let shift = side * (series as f64 - 0.5 * (plot.series.len() as f64 - 1.0));
        let (mut join, mut marks) = (String::new(), String::new());
        for (index, value) in values.values.iter().enumerate() {
            let Some([from, mean, to]) = value.map(|ends| ends.map(y_at)) else {
                continue;
            };
            let x = middle(index) + shift;
            let step = if join.is_empty() { 'M' } else { 'L' };
            let _ = write!(join, "{step}{x:.1} {mean:.1}");
            let _ = write!(
                marks,
                r#"<path class="whisker" stroke="{color}" d="M{x:.1} {from:.1}V{to:.1}"/><circle fill="{color}" cx="{x:.1}" cy="{mean:.1}" r="3.5"/>"#
            );
        }
        let _ = write!(
            svg,
            r#"<path class="join" stroke="{color}" d="{join}"/>{marks}"#
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::super::IntervalSeries;
    use super::*;

    fn sample(layout: Layout) -> Intervals {
        let series = |name: &str, values| IntervalSeries {
            name: name.to_owned(),
            values,
        };
        Intervals {
            title: "t".to_owned(),
            label: "<gain>".to_owned(),
            places: vec!["one".to_owned(), "three".to_owned()],
            series: vec![
                series("a", vec![Some([0.0, 0.5, 1.0]), None]),
                series("b", vec![Some([0.2, 0.3, 0.4]), Some([-1.0, 0.0, 0.5])]),
            ],
            layout,
        }
    }

    #[test]
    fn rows_lie_where_the_axis_says() {
        let drawn = plot(&sample(Layout::Rows));
        // Five letters: the axis begins at 48 and ends at 458, for -1.1 to 1.1. Zero lies in its middle; the first mean, 0.5,
        // at 253 + 410 · 0.5 / 2.2.
        assert!(drawn.contains(r#"class="zero" d="M253.0 24V94"#), "{drawn}");
        assert!(drawn.contains(r#"cx="346.2" cy="36.0""#), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert!(drawn.contains("&lt;gain&gt;") && !drawn.contains("NaN"));
    }

    #[test]
    fn columns_join_the_means_of_a_series() {
        let drawn = plot(&sample(Layout::Columns));
        // -1.1 to 1.1 from 248 up to 24; places at 150.5 and 355.5, the second series 4.5 to their right.
        assert!(drawn.contains(r#"d="M155.0 105.5L360.0 136.0""#), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert!(!drawn.contains("zero"));
    }

    #[test]
    fn nothing_and_one_value_can_be_drawn() {
        for layout in [Layout::Rows, Layout::Columns] {
            let empty = Intervals {
                layout,
                ..Intervals::default()
            };
            assert!(!plot(&empty).contains("NaN"));
            let one = Intervals {
                places: vec!["p".to_owned()],
                series: vec![IntervalSeries {
                    name: "a".to_owned(),
                    values: vec![Some([0.0; 3])],
                }],
                layout,
                ..Intervals::default()
            };
            let drawn = plot(&one);
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
