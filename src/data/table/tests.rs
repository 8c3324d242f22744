use super::*;
use crate::objective::ACTION_UNITS;

fn read_as(name: &str, text: impl AsRef<[u8]>) -> Result<Table, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    Table::read(&path)
}

fn read(text: &str) -> Result<Table, DataError> {
    read_as("table.csv", text)
}

/// The message of the error, without the folder.
fn message(error: DataError) -> String {
    let text = error.to_string();
    text[text.find("table.").unwrap()..].to_owned()
}

fn unit(number: u32) -> usize {
    ACTION_UNITS.iter().position(|u| *u == number).unwrap()
}

#[test]
fn every_column_is_read() {
    let table = read(
        "image,expression,valence,arousal,au1,au12,compound,identity,Smiling,x,y,w,h,split\n\
         a/b.png,Fear,-0.5,1,1,0,sadly angry,ann,1,1,2,30,40.5,train\n\
         c.png,,,,,1,,bob,,,,,,test\n\
         d.png,neutral,,,,,,ann,0,,,,,train\n",
    )
    .unwrap();
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    assert_eq!(table.rows.len(), 3);
    let [a, c, d] = &table.rows[..] else { panic!() };
    assert!(a.image.is_absolute() && a.image.ends_with("a/b.png"));
    assert_eq!((a.line, c.line, d.line), (2, 3, 4));
    assert_eq!(
        a.affect,
        AffectLabels {
            expression: Some(3),
            au_mask: 1 << unit(1) | 1 << unit(12),
            au_value: 1 << unit(1),
            valence_arousal: Some([-0.5, 1.0]),
        }
    );
    assert_eq!(
        (c.affect.au_mask, c.affect.au_value),
        (1 << unit(12), 1 << unit(12))
    );
    assert_eq!(
        (c.affect.expression, c.affect.valence_arousal),
        (None, None)
    );
    assert_eq!((a.face, c.face), (Some([1.0, 2.0, 30.0, 40.5]), None));
    assert_eq!(
        (a.attributes, c.attributes, d.attributes),
        ([1, 1], [0, 0], [1, 0])
    );
    assert_eq!(
        (a.identity, c.identity, d.identity),
        (Some(0), Some(1), Some(0))
    );
    assert_eq!(table.identities, ["ann", "bob"]);
    assert_eq!((a.compound, c.compound), (Some(0), None));
    assert_eq!(table.compounds, ["sadly angry"]);
    assert_eq!(table.attributes, ["Smiling"]);
    assert_eq!((a.split, c.split), (Some(0), Some(1)));
    assert_eq!(table.splits, ["train", "test"]);
}

#[test]
fn json_lines_say_the_same() {
    let table = read_as(
        "table.jsonl",
        "\u{feff}{\"image\": \"a.png\", \"expression\": \"sadness\", \"valence\": 0.25, \"arousal\": -1, \"au4\": true}\n\n\
         {\"image\": \"b.png\", \"identity\": 7, \"expression\": null, \"glasses\": 0}\n",
    )
    .unwrap();
    let [a, b] = &table.rows[..] else { panic!() };
    assert_eq!((a.line, b.line), (1, 3));
    assert_eq!(a.affect.expression, Some(5));
    assert_eq!(a.affect.valence_arousal, Some([0.25, -1.0]));
    assert_eq!(a.affect.au_value, 1 << unit(4));
    assert_eq!((b.affect, b.attributes), (AffectLabels::default(), [1, 0]));
    assert_eq!(table.identities, ["7"]);
}

#[test]
fn lines_are_counted_across_empty_lines_carriage_returns_and_quotes() {
    for text in [
        "image,expression\na.png,fear\n\n\nb.png,joy\n",
        "image,expression\r\na.png,fear\r\n\r\n\r\nb.png,joy\r\n",
        "image,expression\n\"a\n\n.png\",fear\nb.png,joy\n",
    ] {
        let error = read(text).unwrap_err();
        assert!(
            matches!(error, DataError::Cell { line: 5, .. }),
            "{text:?}: {error}"
        );
    }
    let text = "image\r\na.png\r\n\r\nb.png\r\nc.png";
    let lines: Vec<_> = read(text).unwrap().rows.iter().map(|r| r.line).collect();
    assert_eq!(lines, [2, 4, 5]);
}

#[test]
fn rejects_cells_that_their_column_does_not_allow() {
    for (column, cell, allowed) in [
        ("expression", "hapiness", "did you mean `happiness`?"),
        ("expression", "3", "neutral, anger"),
        ("valence", "NaN", "from -1 to 1"),
        ("arousal", "1.01", "from -1 to 1"),
        ("arousal", "inf", "from -1 to 1"),
        ("valence", "-5", "from -1 to 1"),
        ("au4", "2", "0, 1 or empty"),
        ("au4", "nan", "0, 1 or empty"),
        ("au4", "on", "0, 1 or empty"),
        ("expresion", "fear", "the column `expression`"),
        ("x", "left", "a number of pixels"),
        ("w", "0", "above 0"),
        ("h", "NaN", "above 0"),
    ] {
        let error = read(&format!("image,{column}\na.png,\nb.png,{cell}\n")).unwrap_err();
        let text = message(error);
        assert!(
            text.starts_with(&format!("table.csv:3: {column} is `{cell}`"))
                && text.contains(allowed),
            "{text}"
        );
    }
}

#[test]
fn rejects_what_is_no_table() {
    for (text, wanted) in [
        ("", "table.csv: the table has no rows"),
        ("\n\n", "table.csv: the table has no rows"),
        ("image,expression\n", "table.csv: the table has no rows"),
        (
            "file,expression\na.png,fear\n",
            "table.csv:1: the header has no column `image`; it has: file, expression",
        ),
        (
            "image,au1,au01\na.png,1,0\n",
            "table.csv:1: the column `au01` stands there twice",
        ),
        (
            "image,Image\na.png,b.png\n",
            "table.csv:1: the column `Image` stands there twice",
        ),
        (
            "image,hat,hat\na.png,1,0\n",
            "table.csv:1: the column `hat` stands there twice",
        ),
        (
            "image,expression\na.png,fear\nb.png\n",
            "table.csv:3: the row has 1 cells, the header has 2",
        ),
        (
            "image,expression\na.png,fear,1\n",
            "table.csv:2: the row has 3 cells, the header has 2",
        ),
        (
            "image,expression\n,fear\n",
            "table.csv:2: the row has no image",
        ),
        (
            "image,x,y,w,h\na.png,1,1,,5\n",
            "table.csv:2: a face box is x, y, w and h",
        ),
    ] {
        let text = message(read(text).unwrap_err());
        assert!(text.starts_with(wanted), "{text}");
    }
    for (text, wanted) in [
        (
            "{\"image\": \"a.png\"}\n{\"image\": \n",
            "table.jsonl:2: not a JSON object",
        ),
        ("[1, 2]\n", "table.jsonl:1: not a JSON object"),
        (
            "{\"image\": \"a.png\", \"au1\": [1]}\n",
            "table.jsonl:1: `au1` is neither",
        ),
        (
            "{\"expression\": \"fear\"}\n",
            "table.jsonl:1: the row has no image",
        ),
        (
            "{\"image\": \"a\", \"au1\": 1, \"AU1\": 0}\n",
            "table.jsonl:1: the column `AU1`",
        ),
    ] {
        let text = message(read_as("table.jsonl", text).unwrap_err());
        assert!(text.starts_with(wanted), "{text}");
    }
    let text = message(read_as("table.csv", b"image\na.png\nJos\xe9.png\n").unwrap_err());
    assert!(
        text.starts_with("table.csv:3: the text is not UTF-8"),
        "{text}"
    );
    let error = Table::read(Path::new("no/such/table.csv")).unwrap_err();
    assert!(matches!(error, DataError::Read { .. }), "{error}");
    assert!(error.to_string().starts_with("no/such/table.csv: "));
}

#[test]
fn what_is_ignored_is_said_once() {
    let table = read("image,AU27,au2,valence,arousal\na.png,1,1,0.5,\nb.png,1,0,,0.5\n").unwrap();
    assert_eq!(table.rows[0].affect.au_mask, 1 << unit(2));
    assert_eq!(table.rows[0].affect.valence_arousal, None);
    assert_eq!(table.warnings.len(), 2, "{:?}", table.warnings);
    assert!(table.warnings[0].contains("`AU27` is not among"));
    assert!(table.warnings[1].contains("table.csv:2:") && table.warnings[1].contains("(2 rows)"));
    let lines = "{\"image\": \"a.png\", \"au11\": 1}\n".repeat(3);
    assert_eq!(read_as("table.ndjson", lines).unwrap().warnings.len(), 1);
}

#[test]
fn attributes_beyond_the_bits_are_ignored_with_a_warning_each() {
    let names: Vec<String> = (0..66).map(|i| format!("a{i}")).collect();
    let cells = vec!["1"; 66].join(",");
    let table = read(&format!("image,{}\nx.png,{cells}\n", names.join(","))).unwrap();
    assert_eq!(table.attributes.len(), 64);
    assert_eq!(table.rows[0].attributes, [u64::MAX; 2]);
    assert_eq!(table.warnings.len(), 2);
}

#[test]
fn a_split_is_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    std::fs::write(
        &path,
        "image,split\na.png,train\nb.png,test\nc.png,train\nd.png,\n",
    )
    .unwrap();
    let train = Table::read_split(&path, Some("train"), &Wanted::default()).unwrap();
    let lines: Vec<_> = train.rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [2, 4]);
    assert!(train.warnings.is_empty());
    let all = Table::read_split(&path, None, &Wanted::default()).unwrap();
    assert_eq!((all.rows.len(), all.warnings.len()), (4, 1));
    let error = message(Table::read_split(&path, Some("val"), &Wanted::default()).unwrap_err());
    assert!(
        error.contains("`val`; the table has: train, test"),
        "{error}"
    );
    std::fs::write(&path, "image\na.png\n").unwrap();
    assert!(
        Table::read_split(&path, None, &Wanted::default())
            .unwrap()
            .warnings
            .is_empty()
    );
    let error = message(Table::read_split(&path, Some("val"), &Wanted::default()).unwrap_err());
    assert!(error.contains("no column `split`"), "{error}");
}

#[test]
fn pairs_are_read_relative_to_their_table_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_pairs(&path)
    };
    let pairs = read("same,image_b,image_a\n1,b.png,a.png\n0,c.png,a.png\n").unwrap();
    let image = |name: &str| folder.path().join(name);
    assert_eq!(
        pairs,
        [("b.png", true), ("c.png", false)].map(|(b, same)| Pair {
            images: [image("a.png"), image(b)],
            same
        })
    );
    for (text, wanted) in [
        ("", "table.csv: the table has no rows"),
        ("image_a,image_b,same\n", "table.csv: the table has no rows"),
        (
            "image_a,image_b\na,b\n",
            "table.csv:1: the header has no column `same`",
        ),
        (
            "image_a,image_b,same,same\na,b,1,1\n",
            "table.csv:1: the column `same`",
        ),
        (
            "image_a,image_b,same\na,b,1\na,b,yes\n",
            "table.csv:3: same is `yes`, but it must be 0 or 1",
        ),
        ("image_a,image_b,same\na,,1\n", "table.csv:2: image_b is ``"),
        (
            "image_a,image_b,same\na,b\n",
            "table.csv:2: the row has 2 cells",
        ),
    ] {
        let text = message(read(text).unwrap_err());
        assert!(text.starts_with(wanted), "{text}");
    }
}
