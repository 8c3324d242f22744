//! `curves.png`: training loss by term and validation metrics over the steps, from the events of a log.

use image::RgbImage;
use plotters::coord::{Shift, types::RangedCoordf64};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::log::Event;
use crate::picture::{FONT, PALETTE, PictureError, png, register_fonts};

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 460;
/// Of the width, what the names of the lines take.
const LEGEND: u32 = 280;
/// Points that a line may have: about one for two pixels.
const POINTS: usize = 500;

/// One line of a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// x and y, in ascending x. Points that are not finite are left out when drawn.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    fn finite(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points
            .iter()
            .copied()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    /// At most `count` points, each the mean of a run of neighbours, so that noise turns into a trend.
    pub(crate) fn thinned(&self, count: usize) -> Vec<(f64, f64)> {
        let points: Vec<_> = self.finite().collect();
        let run = points.len().div_ceil(count.max(1)).max(1);
        points.chunks(run).map(mean_point).collect()
    }
}

fn mean_point(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (x / count, y / count)
}

/// A plot of several lines over a common axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Stands above it.
    pub title: String,
    /// Unit of x.
    pub x_label: String,
    /// Unit of y.
    pub y_label: String,
    /// The lines.
    pub series: Vec<Series>,
}

impl Curve {
    /// The smallest range of x and of y that holds all finite points, from 0 where none is negative; never empty.
    pub fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let points = || self.series.iter().flat_map(Series::finite);
        let range = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) = values
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                });
            if low <= high { (low, high) } else { (0.0, 1.0) }
        };
        let widened = |(low, high): (f64, f64)| {
            if low < high {
                (low, high)
            } else {
                (low, low + 1.0)
            }
        };
        let (left, right) = range(&mut points().map(|point| point.0));
        let (low, high) = range(&mut points().map(|point| point.1));
        let margin = 0.05 * (high - low.min(0.0));
        let low = if low < 0.0 { low - margin } else { 0.0 };
        (
            widened((left.min(0.0), right)),
            widened((low, high + margin)),
        )
    }
}

/// The curves of a run: training loss by term (terms that are zero throughout are left out), then the validation
/// metrics between -1 and 1 by database, if there are any. A run without steps gives an empty list.
pub fn from_log(events: &[Event]) -> Vec<Curve> {
    let mut curves = vec![losses(events), validation(events)];
    curves.retain(|curve| !curve.series.is_empty());
    curves
}

fn losses(events: &[Event]) -> Curve {
    let mut series = Vec::new();
    for event in events {
        if let Event::Step { step, losses, .. } = event {
            for (name, value) in &losses.named {
                push(
                    &mut series,
                    name.replace('_', " "),
                    *step,
                    f64::from(*value),
                );
            }
        }
    }
    series.retain(|series: &Series| series.points.iter().any(|point| point.1 != 0.0));
    series.sort_by_key(|series| series.name != "total"); // It comes first and gets the first colour.
    curve("Training loss", "loss", series)
}

fn validation(events: &[Event]) -> Curve {
    let mut series = Vec::new();
    for event in events {
        if let Event::Validation {
            step,
            database,
            metrics,
            ..
        } = event
        {
            let mut leaves = Vec::new();
            collect("", metrics, &mut leaves);
            for (name, value) in leaves {
                push(&mut series, format!("{database}:{name}"), *step, value);
            }
        }
    }
    let mut databases = series
        .iter()
        .filter_map(|series| series.name.split_once(':'))
        .map(|pair| pair.0);
    let first = databases.next().map(str::to_owned);
    if databases.all(|database| Some(database) == first.as_deref()) {
        // With one database its name in each line would be noise.
        for series in &mut series {
            series.name = series
                .name
                .split_once(':')
                .map_or("", |pair| pair.1)
                .trim()
                .to_owned();
        }
    }
    curve("Validation", "metric", series)
}

fn curve(title: &str, y_label: &str, series: Vec<Series>) -> Curve {
    Curve {
        title: title.to_owned(),
        x_label: "step".to_owned(),
        y_label: y_label.to_owned(),
        series,
    }
}

fn push(series: &mut Vec<Series>, name: String, step: u64, value: f64) {
    let point = (step as f64, value);
    match series.iter_mut().find(|series| series.name == name) {
        Some(series) => series.points.push(point),
        None => series.push(Series {
            name,
            points: vec![point],
        }),
    }
}

/// The summary numbers of a metrics object: leaves between -1 and 1. Lists (confusion matrices) and the table of F1 by
/// AU are no summary.
fn collect(name: &str, value: &serde_json::Value, leaves: &mut Vec<(String, f64)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| *key != "f1") {
                // `ccc valence` needs no `valence arousal` before it, and everything is one of the tasks.
                let key = match key.as_str() {
                    "tasks" | "valence_arousal" => String::new(),
                    key => format!(" {}", key.replace('_', " ")),
                };
                collect(&format!("{name}{key}"), value, leaves);
            }
        }
        serde_json::Value::Number(number) => {
            leaves.extend(
                number
                    .as_f64()
                    .filter(|value| value.abs() <= 1.0)
                    .map(|value| (name.to_owned(), value)),
            );
        }
        _ => {}
    }
}

/// The curves below one another, as the bytes of a PNG file: 1200 pixels wide, 460 high for each curve.
///
/// # Errors
/// The plotting library or the encoder refuses.
pub fn curves_png(curves: &[Curve]) -> Result<Vec<u8>, PictureError> {
    register_fonts();
    let height = HEIGHT * curves.len().max(1) as u32;
    let mut picture = RgbImage::new(WIDTH, height);
    {
        let area = BitMapBackend::with_buffer(&mut picture, (WIDTH, height)).into_drawing_area();
        let refused = || PictureError::drawing("the curves");
        area.fill(&WHITE).map_err(refused())?;
        for (curve, panel) in curves
            .iter()
            .zip(area.split_evenly((curves.len().max(1), 1)))
        {
            draw(curve, &panel).map_err(refused())?;
        }
        if curves.is_empty() {
            let style = TextStyle::from((FONT, 22).into_font()).color(&RGBColor(90, 90, 90));
            area.draw_text("no steps yet", &style, (40, 40))
                .map_err(refused())?;
        }
        area.present().map_err(refused())?;
    }
    png(&picture)
}

type Refused<'a> = DrawingAreaErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>;
type Chart<'a, 'b> =
    ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The lines to the left, their names to the right of them, where they hide nothing.
fn draw<'a>(
    curve: &Curve,
    area: &DrawingArea<BitMapBackend<'a>, Shift>,
) -> Result<(), Refused<'a>> {
    let (plot, legend) = area.split_horizontally(WIDTH - LEGEND);
    let ((left, right), (bottom, top)) = curve.ranges();
    let mut chart = ChartBuilder::on(&plot)
        .caption(&curve.title, (FONT, 24))
        .margin(14)
        .margin_right(30)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(left..right, bottom..top)?;
    chart
        .configure_mesh()
        .x_desc(&curve.x_label)
        .y_desc(&curve.y_label)
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 18))
        .bold_line_style(RGBColor(215, 215, 215))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| tick(*x, right - left))
        .y_label_formatter(&|y| tick(*y, top - bottom))
        .draw()?;
    let text = TextStyle::from((FONT, 17).into_font()).color(&RGBColor(40, 40, 40));
    for (index, series) in curve.series.iter().enumerate() {
        let color = PALETTE[index % PALETTE.len()];
        draw_series(&mut chart, series, color)?;
        let y = 60 + 26 * index as i32;
        legend.draw(&Rectangle::new([(0, y - 2), (20, y + 2)], color.filled()))?;
        legend.draw_text(&series.name, &text, (30, y - 9))?;
    }
    Ok(())
}

/// A faint line of all points and a strong one of their running means, or the points themselves where they are few.
fn draw_series<'a>(
    chart: &mut Chart<'_, 'a>,
    series: &Series,
    color: RGBColor,
) -> Result<(), Refused<'a>> {
    let fine = series.thinned(POINTS);
    let many = fine.len() > 100;
    let strong = if many {
        series.thinned(POINTS / 10)
    } else {
        fine.clone()
    };
    if many {
        chart.draw_series(LineSeries::new(fine, color.mix(0.25)))?;
    } else {
        chart.draw_series(
            fine.iter()
                .map(|&point| Circle::new(point, 3, color.filled())),
        )?;
    }
    chart
        .draw_series(LineSeries::new(strong, color.stroke_width(2)))?
        .label(&series.name)
        .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 18, y + 1)], color.filled()));
    Ok(())
}

/// A tick's label with as many decimals as the axis' range needs.
pub(crate) fn tick(value: f64, range: f64) -> String {
    let decimals = (2.0 - range.max(1e-9).log10().ceil()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::log::Losses;
    use super::*;

    fn step(step: u64, losses: Losses) -> Event {
        Event::Step {
            step,
            epoch: 0.0,
            images: 0,
            seconds: 0.0,
            images_per_second: 1.0,
            learning_rate: 0.1,
            losses,
        }
    }

    fn run() -> Vec<Event> {
        let mut events = Vec::new();
        for index in 1..=900_u64 {
            let decay = (-(index as f32) / 300.0).exp();
            let noise = 0.2 * ((index * 7919 % 101) as f32 / 101.0 - 0.5);
            let expression = 0.4 + 1.5 * decay + noise;
            let action_units = 0.3 + 0.4 * decay + noise / 2.0;
            let valence_arousal = 0.2 + 0.8 * decay + noise;
            let distribution_matching = 1.0 + 0.3 * decay + noise / 3.0;
            let total = expression + action_units + valence_arousal + distribution_matching;
            let soft_co_annotation = 0.0;
            let named = [
                ("expression", expression),
                ("action_units", action_units),
                ("valence_arousal", valence_arousal),
                ("distribution_matching", distribution_matching),
                ("soft_co_annotation", soft_co_annotation),
                ("total", total),
            ];
            let losses = Losses {
                named: named.map(|(name, value)| (name.to_owned(), value)).into(),
            };
            events.push(step(index, losses));
            if index % 100 == 0 {
                let value = 1.0 - decay;
                let metrics = json!({"images": 500, "tasks": {
                    "expression": {"accuracy": value, "macro_f1": value - 0.08, "confusion": [[1, 0], [0, 1]]},
                    "action_units": {"f1_mean": 0.8 * value, "f1": {"au1": 0.5}},
                    "valence_arousal": {"ccc_valence": 0.9 * value, "ccc_arousal": 0.7 * value - 0.1}}});
                events.push(Event::Validation {
                    step: index,
                    database: "public".to_owned(),
                    score: f64::from(value),
                    metrics,
                });
            }
        }
        events
    }

    #[test]
    fn takes_terms_and_summary_metrics_from_a_log() {
        let curves = from_log(&run());
        let names = |curve: &Curve| {
            curve
                .series
                .iter()
                .map(|series| series.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&curves[0]),
            [
                "total",
                "expression",
                "action units",
                "valence arousal",
                "distribution matching"
            ]
        );
        assert_eq!(
            names(&curves[1]),
            [
                "expression accuracy",
                "expression macro f1",
                "action units f1 mean",
                "ccc valence",
                "ccc arousal"
            ]
        );
        assert_eq!(curves[0].series[0].points.len(), 900);
        assert_eq!(curves[1].series[0].points.len(), 9);
        assert_eq!(curves[1].series[0].points[8].0, 900.0);
        assert!(from_log(&[]).is_empty());
    }

    #[test]
    fn names_databases_where_there_are_two() {
        let validation = |database: &str| Event::Validation {
            step: 1,
            database: database.to_owned(),
            score: 0.5,
            metrics: json!({"tasks": {"expression": {"accuracy": 0.5}}}),
        };
        let curves = from_log(&[validation("a"), validation("b")]);
        assert_eq!(curves[0].series[0].name, "a: expression accuracy");
        assert_eq!(curves[0].series[1].name, "b: expression accuracy");
    }

    #[test]
    fn ranges_pass_over_what_is_not_finite() {
        let points = vec![
            (1.0, 2.0),
            (2.0, f64::NAN),
            (3.0, f64::INFINITY),
            (4.0, 4.0),
        ];
        let series = vec![Series {
            name: "a".to_owned(),
            points,
        }];
        let (x, y) = curve("t", "y", series).ranges();
        assert_eq!(x, (0.0, 4.0));
        assert_eq!(y, (0.0, 4.0 + 0.05 * 4.0));
        assert_eq!(
            curve("t", "y", Vec::new()).ranges(),
            ((0.0, 1.0), (0.0, 1.05))
        );
    }

    #[test]
    fn thinning_keeps_the_mean() {
        let points: Vec<_> = (0..1000)
            .map(|x| (f64::from(x), f64::from(x % 10)))
            .collect();
        let thinned = Series {
            name: String::new(),
            points,
        }
        .thinned(50);
        assert_eq!(thinned.len(), 50);
        assert!(
            thinned.iter().all(|point| (point.1 - 4.5).abs() < 1e-12),
            "{thinned:?}"
        );
    }

    #[test]
    fn draws_every_line_in_its_colour() {
        let bytes = curves_png(&from_log(&run())).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (WIDTH, 2 * HEIGHT));
        for color in &PALETTE[..5] {
            let wanted = image::Rgb([color.0, color.1, color.2]);
            let drawn = picture.pixels().filter(|&&pixel| pixel == wanted).count();
            assert!(drawn > 300, "{color:?}: {drawn} pixels");
        }
        if let Some(folder) = std::env::var_os("KINESIC_KEEP_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join("curves.png"), bytes).unwrap();
        }
        assert!(curves_png(&[]).is_ok());
    }
}
