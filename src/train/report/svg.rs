//! A curve as inline SVG. Lines bear the palette's colours; text and grid take theirs from the page's style.

use std::fmt::Write;

use super::super::curves::{Curve, Series, tick};
use crate::picture::PALETTE;

/// The drawing in units of the page's pixels: narrow enough that its text stays legible on a phone.
pub(super) const WIDTH: f64 = 480.0;
pub(super) const HEIGHT: f64 = 290.0;
/// The plot's edges in it: left, right, top, bottom.
const PLOT: [f64; 4] = [48.0, WIDTH - 22.0, 24.0, HEIGHT - 42.0];
const POINTS: usize = 300;

/// The text with the five characters that mean something in HTML replaced: safe between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The colour of line `index` as CSS writes it.
pub(super) fn color(index: usize) -> String {
    let color = PALETTE[index % PALETTE.len()];
    format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2)
}

/// Round values (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most `count` + 1 of them.
pub(super) fn ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let rough = (high - low) / count;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    let step = step
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * decade);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

/// The plot without its title and legend.
pub(super) fn curve(curve: &Curve) -> String {
    let ((left, right), (bottom, top)) = curve.ranges();
    let [x0, x1, y0, y1] = PLOT;
    let x_at = |x: f64| x0 + (x - left) / (right - left) * (x1 - x0);
    let y_at = |y: f64| y1 - (y - bottom) / (top - bottom) * (y1 - y0);
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
        escape(&curve.title)
    );
    // Writing to a string does not fail.
    for value in ticks(bottom, top, 5.0) {
        let y = y_at(value);
        let text = tick(value, top - bottom);
        let _ = write!(svg, r#"<path class="grid" d="M{x0} {y:.1}H{x1}"/>"#);
        let _ = write!(
            svg,
            r#"<text class="end" x="{}" y="{:.1}">{text}</text>"#,
            x0 - 7.0,
            y + 4.5
        );
    }
    for value in ticks(left, right, 6.0) {
        let x = x_at(value);
        let text = tick(value, right - left);
        let _ = write!(svg, r#"<path class="grid" d="M{x:.1} {y0}V{y1}"/>"#);
        let _ = write!(
            svg,
            r#"<text class="mid" x="{x:.1}" y="{}">{text}</text>"#,
            y1 + 18.0
        );
    }
    let (x_label, y_label) = (escape(&curve.x_label), escape(&curve.y_label));
    let _ = write!(
        svg,
        r#"<text class="mid" x="{}" y="{}">{x_label}</text>"#,
        (x0 + x1) / 2.0,
        HEIGHT - 5.0
    );
    let _ = write!(svg, r#"<text x="4" y="14">{y_label}</text>"#);
    for (index, series) in curve.series.iter().enumerate() {
        svg.push_str(&lines(series, &color(index), |(x, y)| (x_at(x), y_at(y))));
    }
    svg.push_str("</svg>");
    svg
}

/// The points, thinned, and over them their trend where they are many.
fn lines(series: &Series, color: &str, place: impl Fn((f64, f64)) -> (f64, f64)) -> String {
    let fine = series.thinned(POINTS);
    let many = fine.len() > 60;
    let path = |points: &[(f64, f64)]| {
        points.iter().fold(String::new(), |mut path, &point| {
            let (x, y) = place(point);
            let _ = write!(
                path,
                "{}{x:.1} {y:.1}",
                if path.is_empty() { 'M' } else { 'L' }
            );
            path
        })
    };
    let mut svg = String::new();
    if many {
        let _ = write!(
            svg,
            r#"<path class="faint" stroke="{color}" d="{}"/>"#,
            path(&fine)
        );
        let _ = write!(
            svg,
            r#"<path class="line" stroke="{color}" d="{}"/>"#,
            path(&series.thinned(POINTS / 8))
        );
        return svg;
    }
    let _ = write!(
        svg,
        r#"<path class="line" stroke="{color}" d="{}"/>"#,
        path(&fine)
    );
    for point in fine {
        let (x, y) = place(point);
        let _ = write!(
            svg,
            r#"<circle fill="{color}" cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 900.0, 5.0), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(ticks(0.0, 5.0, 5.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let around_zero = ticks(-0.3, 0.7, 5.0);
        assert_eq!(around_zero.len(), 5);
        assert!((around_zero[0] + 0.2).abs() < 1e-12 && (around_zero[4] - 0.6).abs() < 1e-12);
    }

    #[test]
    fn points_lie_where_the_axes_say() {
        let series = vec![Series {
            name: "a".to_owned(),
            points: vec![(0.0, 0.0), (10.0, 2.0), (5.0, f64::NAN)],
        }];
        let drawn = curve(&Curve {
            title: "t".to_owned(),
            x_label: "x".to_owned(),
            y_label: "y".to_owned(),
            series,
        });
        // y reaches 5 % above its largest value: 2 lies at 248 - 224 / 1.05 = 34.7.
        assert!(drawn.contains("M48.0 248.0L458.0 34.7\""), "{drawn}");
        assert!(!drawn.contains("NaN"));
    }
}
