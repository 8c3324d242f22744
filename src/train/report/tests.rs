use image::{Rgb, RgbImage};

use super::*;
use crate::picture::png;

const EXPRESSIONS: [&str; 7] = [
    "neutral",
    "anger",
    "disgust",
    "fear",
    "happiness",
    "sadness",
    "surprise",
];

fn named(name: &str) -> String {
    name.to_owned()
}

fn comparison() -> Table {
    Table {
        title: named("What the coupling brings"),
        text: named(
            "On 700 faces of people who were not seen in training. The best of each row is bold.",
        ),
        corner: named("metric"),
        columns: vec![named("chance"), named("uncoupled"), named("coupled")],
        rows: vec![
            Row::numbers("expression accuracy", &[0.143, 0.712, 0.748]),
            Row::numbers("action units, mean F1", &[0.294, 0.641, 0.688]),
            Row::numbers("CCC of valence", &[0.0, 0.702, 0.733]),
            Row::numbers("CCC of arousal", &[0.0, 0.588, 0.571]),
            Row::numbers(
                "compound expressions, zero-shot accuracy",
                &[0.143, 0.391, f64::NAN],
            ),
        ],
        shading: Shading::Best,
        decimals: 3,
    }
}

fn confusion() -> Table {
    let rows = EXPRESSIONS.iter().enumerate().map(|(row, name)| Row {
        name: named(name),
        cells: (0..7)
            .map(|column| {
                Cell::Count(if row == column {
                    60 + 4 * row as u64
                } else {
                    (row * column % 7) as u64 * 3
                })
            })
            .collect(),
    });
    Table {
        title: named("Confusion"),
        text: named("Rows: what it was. Columns: what was said."),
        corner: named("true \\ predicted"),
        columns: EXPRESSIONS.map(named).to_vec(),
        rows: rows.collect(),
        shading: Shading::Share,
        decimals: 0,
    }
}

fn face(index: u32) -> Vec<u8> {
    let tone = 90 + (index * 37 % 120) as u8;
    let picture = RgbImage::from_fn(48, 48, |x, y| {
        let (dx, dy) = (x as f32 - 24.0, (y as f32 - 24.0) * 0.8);
        if dx.hypot(dy) < 17.0 {
            Rgb([tone, tone / 2 + 40, tone / 2 + 20])
        } else {
            Rgb([60, 70, 80])
        }
    });
    png(&picture).unwrap()
}

fn pictures() -> Vec<Picture> {
    let faces = (0..10).map(|index| Tile {
        png: face(index),
        caption: format!("{}: AU 4, 7, 24", EXPRESSIONS[index as usize % 7]),
        ..Tile::default()
    });
    let predictions = (0..5).map(|index| Tile {
        png: face(index + 3),
        caption: format!(
            "{}, valence 0.42, arousal -0.10",
            EXPRESSIONS[index as usize]
        ),
        bars: EXPRESSIONS
            .iter()
            .enumerate()
            .map(|(at, name)| (named(name), 0.9 / (1 + at) as f64))
            .collect(),
        wide: false,
    });
    vec![
        Picture {
            title: named("Synthetic faces"),
            text: named("Rendered on the GPU."),
            tiles: faces.collect(),
        },
        Picture {
            title: named("Predictions"),
            text: String::new(),
            tiles: predictions.collect(),
        },
    ]
}

fn curves() -> Vec<Curve> {
    let line = |name: &str, count: u32, shape: &dyn Fn(f64) -> f64| Series {
        name: named(name),
        points: (0..count)
            .map(|index| {
                (
                    f64::from(index) * 900.0 / f64::from(count),
                    shape(f64::from(index)),
                )
            })
            .collect(),
    };
    let noise = |x: f64| 0.1 * (x * 1.7).sin();
    let curve = |title: &str, y: &str, series| Curve {
        title: named(title),
        x_label: named("step"),
        y_label: named(y),
        series,
    };
    vec![
        curve(
            "Training loss, coupled",
            "loss",
            vec![
                line("total", 900, &|x| 2.0 + 2.5 * (-x / 300.0).exp() + noise(x)),
                line("expression", 900, &|x| {
                    0.5 + 1.4 * (-x / 200.0).exp() + noise(x)
                }),
                line("action units", 900, &|x| {
                    0.3 + 0.4 * (-x / 250.0).exp() + 0.3 * noise(x)
                }),
            ],
        ),
        curve(
            "Validation",
            "metric",
            vec![
                line("expression accuracy", 9, &|x| 0.75 - 0.6 * (-x / 3.0).exp()),
                line("action units f1 mean", 9, &|x| {
                    0.68 - 0.4 * (-x / 3.0).exp()
                }),
            ],
        ),
    ]
}

fn panel(name: &str) -> Panel {
    Panel {
        title: named(name),
        text: named(name),
        plots: vec![Intervals {
            title: named(name),
            label: named(name),
            places: vec![named(name)],
            series: vec![IntervalSeries {
                name: named(name),
                values: vec![Some([0.1, 0.2, 0.3])],
            }],
            ..Intervals::default()
        }],
    }
}

fn sample() -> Report {
    let units = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26];
    let rows = units.map(|unit| {
        let value = 0.4 + f64::from(unit * 13 % 50) / 100.0;
        Row::numbers(&format!("AU {unit}"), &[0.3, value, value + 0.04])
    });
    Report {
        title: named("kinesic demo: one network, three databases, no download"),
        summary: named(
            "Synthetic faces were rendered on the GPU as three databases that carry different labels: expressions, action \
             units, valence and arousal. One network learned from all of them twice: with each task for itself, and with \
             the tasks coupled by distribution matching and soft co-annotation.",
        ),
        findings: vec![named("Coupled against uncoupled: better.")],
        panels: vec![panel("Differences")],
        facts: [
            ("machine", "2 cores, Linux 6.1"),
            (
                "adapter",
                "llvmpipe (LLVM 19, 256 bits), Vulkan, Mesa 25.0.7",
            ),
            ("command", "kinesic demo --out demo --seconds 120"),
            (
                "network",
                "mobile at 48 x 48, 312 648 parameters, f32, seed 1",
            ),
            (
                "took",
                "1 min 52 s, 24 000 training images, 231 images a second",
            ),
        ]
        .map(|(name, value)| (named(name), named(value)))
        .to_vec(),
        tables: vec![
            comparison(),
            Table {
                title: named("F1 of each action unit"),
                corner: named("action unit"),
                columns: vec![named("chance"), named("uncoupled"), named("coupled")],
                rows: rows.to_vec(),
                shading: Shading::Best,
                decimals: 2,
                ..Table::default()
            },
            confusion(),
        ],
        curves: curves(),
        pictures: pictures(),
        notes: vec![named(
            "The faces are drawings: the numbers say nothing about photographs.",
        )],
        metrics: serde_json::json!({"coupled": {"expression": {"accuracy": 0.748}}}),
    }
}

#[test]
fn page_holds_everything_and_needs_nothing_else() {
    let html = sample().html();
    if let Some(folder) = std::env::var_os("KINESIC_KEEP_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join("report.html"), &html).unwrap();
    }
    for wanted in [
        "<h1>kinesic demo",
        "llvmpipe (LLVM 19",
        "0.748",
        "AU 26",
        "surprise",
        "Notes",
        "\u{2013}",
    ] {
        assert!(html.contains(wanted), "{wanted} is missing");
    }
    assert_eq!(html.matches("<svg ").count(), 3);
    assert_eq!(
        html.matches("src=\"data:image/png;base64,iVBORw0KGgo")
            .count(),
        15
    );
    for outside in ["http:", "https:", "<script", "<link", "url(", "NaN"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn tags_are_balanced() {
    let html = sample().html();
    for tag in [
        "html", "main", "table", "tr", "td", "th", "div", "figure", "svg", "dl", "ul", "li", "p",
        "span",
    ] {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        assert!(opened > 0, "{tag}");
    }
}

#[test]
fn no_text_becomes_markup() {
    let evil = named("<b x=\"'&'\">");
    let curve = Curve {
        title: evil.clone(),
        x_label: evil.clone(),
        y_label: evil.clone(),
        series: vec![Series {
            name: evil.clone(),
            points: vec![(0.0, 1.0)],
        }],
    };
    let table = Table {
        title: evil.clone(),
        text: evil.clone(),
        corner: evil.clone(),
        columns: vec![evil.clone()],
        rows: vec![Row {
            name: evil.clone(),
            cells: vec![Cell::Text(evil.clone())],
        }],
        ..Table::default()
    };
    let tile = Tile {
        caption: evil.clone(),
        bars: vec![(evil.clone(), 0.5)],
        ..Tile::default()
    };
    let report = Report {
        title: evil.clone(),
        summary: evil.clone(),
        findings: vec![evil.clone()],
        panels: vec![panel(&evil)],
        facts: vec![(evil.clone(), evil.clone())],
        tables: vec![table],
        curves: vec![curve],
        pictures: vec![Picture {
            title: evil.clone(),
            text: evil.clone(),
            tiles: vec![tile],
        }],
        notes: vec![evil],
        metrics: serde_json::Value::Null,
    };
    let html = report.html();
    assert!(!html.contains("<b x"));
    // Title, caption, curve title and plot title twice each; 22 other places once.
    assert_eq!(
        html.matches("&lt;b x=&quot;&#39;&amp;&#39;&quot;&gt;")
            .count(),
        30
    );
}

#[test]
fn best_and_share_mark_the_right_cells() {
    let html = Report {
        tables: vec![comparison(), confusion()],
        ..Report::default()
    }
    .html();
    assert!(html.contains("<td>0.143</td><td>0.712</td><td class=\"best\">0.748</td>"));
    assert!(html.contains("<td class=\"best\">0.588</td><td>0.571</td>"));
    // The first row has only its diagonal: 60 of 60.
    assert!(html.contains("<td style=\"background:rgba(0,114,178,0.70)\">60</td>"));
}

#[test]
fn differences_bear_the_sign_that_their_interval_has() {
    let difference = |mean: f64, low, high| Cell::Difference {
        mean,
        interval: Some([low, high]),
    };
    let table = Table {
        columns: vec![named("a"); 5],
        rows: vec![Row {
            name: named("gain"),
            cells: vec![
                difference(0.5, 0.25, 0.75),
                difference(-0.5, -0.75, -0.25),
                difference(0.25, -0.5, 1.0),
                Cell::Difference {
                    mean: 0.5,
                    interval: None,
                },
                Cell::Spread {
                    mean: 0.5,
                    deviation: Some(0.125),
                },
            ],
        }],
        decimals: 3,
        ..Table::default()
    };
    let report = Report {
        tables: vec![table],
        ..Report::default()
    };
    let html = report.html();
    for wanted in [
        "<td class=\"above\">+0.500 <small>+0.250 to +0.750</small></td>",
        "<td class=\"below\">-0.500 <small>-0.750 to -0.250</small></td>",
        "<td>+0.250 <small>-0.500 to +1.000</small></td>",
        "<td>+0.500</td>",
        "<td>0.500 \u{b1} 0.125</td>",
    ] {
        assert!(html.contains(wanted), "{wanted} is not in {html}");
    }
    let json = serde_json::to_value(&report).unwrap();
    let cells = &json["tables"][0]["rows"][0]["cells"];
    assert_eq!(cells[0]["interval"][1], 0.75);
    assert_eq!(cells[4]["deviation"], 0.125);
}

#[test]
fn json_has_numbers_text_and_null() {
    let json = serde_json::to_value(sample()).unwrap();
    assert_eq!(json["tables"][0]["rows"][0]["cells"][2], 0.748);
    assert_eq!(
        json["tables"][0]["rows"][4]["cells"][2],
        serde_json::Value::Null
    );
    assert_eq!(json["tables"][2]["rows"][0]["cells"][0], 60);
    assert_eq!(json["metrics"]["coupled"]["expression"]["accuracy"], 0.748);
    assert_eq!(json["curves"][0]["series"][0]["points"][0][0], 0.0);
    assert!(json["pictures"][0]["tiles"][0].get("png").is_none());
}
