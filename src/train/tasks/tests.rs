use super::*;
use crate::objective::{Form, LABEL_WORDS};
use std::path::Path;

const PEOPLE: &str = "image,identity,hat,beard,expression\n\
                      a.png,ann,1,0,fear\n\
                      b.png,bob,0,1,\n\
                      c.png,ann,1,,\n\
                      d.png,cid,1,1,\n\
                      e.png,bob,,,neutral\n";

const COUPLED: &str = "[[task]]\nname = \"expression\"\n[[task]]\nname = \"identity\"\nMIN\n[[task]]\nname = \"attributes\"\n\
                       [[coupling]]\nof = [\"identity\", \"attributes\"]\ndistribution_matching = 1.0\nform = \"positive\"\n";

/// What a configuration says that has this text behind its model and data, and the messages.
fn declared(more: &str, tables: &[&str]) -> (Result<Declared, TrainError>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "[model]\nbackbone = \"mobile\"\n".to_owned();
    for (number, table) in tables.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.csv")), table).unwrap();
        text += &format!("[[data]]\npath = \"{number}.csv\"\n");
    }
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text + more).unwrap();
    let config = Config::read(&path, &[]).unwrap();
    let mut said = Vec::new();
    let declared = Declared::read(&config, &mut |text| said.push(text.to_owned()));
    (declared, said)
}

fn outputs<'a>(declared: &'a Declared, task: &str) -> Vec<&'a str> {
    let outputs = &declared.tasks.get(task).unwrap().outputs;
    outputs.iter().map(String::as_str).collect()
}

#[test]
fn outputs_come_from_the_training_tables() {
    let more = "image,beard,identity,smile\nf.png,1,dan,0\ng.png,0,cid,1\n";
    let (found, said) = declared(&COUPLED.replace("MIN", ""), &[PEOPLE, more]);
    let found = found.unwrap();
    assert_eq!(outputs(&found, "identity"), ["ann", "bob", "cid", "dan"]);
    assert_eq!(outputs(&found, "attributes"), ["hat", "beard", "smile"]);
    assert_eq!(outputs(&found, "expression").len(), 7);
    assert!(said.is_empty(), "{said:?}");
    let second = &found.training[1].table.rows[0].labels;
    let bits = Label::Bits {
        mask: 0b110,
        on: 0b010,
    };
    assert_eq!((second.get(1), second.get(2)), (Label::Class(3), bits));
    let kernel = found.objective.kernel(3);
    // Identity with attributes, and expression beside them.
    assert_eq!(kernel.blocks.len(), 2);
    assert!(kernel.blocks[0].coupled && kernel.blocks[0].form == Form::Positive);
    assert_eq!(kernel.labels_len(), 64 + 3 * LABEL_WORDS);
    // With two images each: ann, bob and cid.
    let (found, _) = declared(&COUPLED.replace("MIN", "min_images = 2"), &[PEOPLE, more]);
    assert_eq!(outputs(&found.unwrap(), "identity"), ["ann", "bob", "cid"]);
}

#[test]
fn an_estimate_is_the_share_of_a_persons_images_smoothed() {
    let (found, _) = declared(&COUPLED.replace("MIN", ""), &[PEOPLE]);
    let found = found.unwrap();
    let table = &found.objective.tables()[..6];
    // Hat: ann 2 of 2, bob 0 of 1, cid 1 of 1, all 3 of 4; with two images more at the mean of all.
    let hat = [3.5 / 4.0, 1.5 / 3.0, 2.5 / 3.0];
    // Beard: ann 0 of 1, bob 1 of 1, cid 1 of 1, all 2 of 3.
    let beard = [4.0 / 3.0 / 3.0, 7.0 / 3.0 / 3.0, 7.0 / 3.0 / 3.0];
    for person in 0..3 {
        let got = [table[2 * person], table[2 * person + 1]];
        let want = [hat[person], beard[person]];
        for (got, want) in got.iter().zip(want) {
            assert!(
                (got - want).abs() < 1e-6,
                "person {person}: {got}, want {want}"
            );
        }
    }
}

#[test]
fn a_table_of_names_relates_any_two_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.toml");
    let text = "[ann]\nprototypical = [\"hat\"]\n[bob.observational]\nbeard = 0.25\nwings = 1.0\n[cid]\n[zoe]\n";
    std::fs::write(&path, text).unwrap();
    let more = |path: &Path| {
        let coupled = COUPLED.replace("MIN", "");
        format!(
            "{coupled}relatedness = {:?}\nmatching_table = \"weighted\"\n",
            path.display().to_string()
        )
    };
    let (found, said) = declared(&more(&path), &[PEOPLE]);
    assert_eq!(
        found.unwrap().objective.tables()[..6],
        [1.0, 0.0, 0.0, 0.25, 0.0, 0.0]
    );
    assert!(
        said[0].contains("has no `wings`") && said[1].contains("`zoe`"),
        "{said:?}"
    );
    std::fs::write(&path, "[ann]\n[bob]\n[cod]\n").unwrap();
    let error = declared(&more(&path), &[PEOPLE]).0.unwrap_err().to_string();
    assert!(
        error.contains("`cid` of task `identity` is missing") && error.contains("`cod`"),
        "{error}"
    );
    std::fs::write(
        &path,
        "[ann]\nprototypical = [\"hat\", \"hat\"]\n[bob]\n[cid]\n",
    )
    .unwrap();
    let error = declared(&more(&path), &[PEOPLE]).0.unwrap_err().to_string();
    assert!(error.contains("ann: `hat` is given twice"), "{error}");
    let error = declared(&more(Path::new("du2014")), &[PEOPLE])
        .0
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no table of this name relates `identity` and `attributes`"),
        "{error}"
    );
}

#[test]
fn the_tasks_of_affect_may_have_an_estimate_too() {
    let table = "image,expression,au1,au12\na.png,fear,1,0\nb.png,fear,0,0\nc.png,happiness,0,1\n";
    let more = "[objective]\ndistribution_matching = 1.0\nrelatedness = \"estimate\"\n";
    let (found, said) = declared(&format!("{more}matching_table = \"weighted\"\n"), &[table]);
    let found = found.unwrap();
    // AU 1 of fear: 1 of 2, all 1 of 3: (1 + 2/3) / 4.
    assert!((found.objective.tables()[3 * 17] - 5.0 / 12.0).abs() < 1e-6);
    let of = |part: &str| said.iter().any(|text| text.contains(part));
    assert!(
        of("no image of `expression`") && of("no image of `action_units`"),
        "{said:?}"
    );
    let (_, said) = declared(more, &[table]);
    assert!(
        said.iter()
            .any(|text| text.contains("\"weighted\" suits it")),
        "{said:?}"
    );
    let (found, _) = declared(
        more,
        &["image,expression\na.png,fear\n", "image,au1\nb.png,1\n"],
    );
    let error = found.unwrap_err().to_string();
    assert!(
        error.contains("no image carries both a label of `expression`"),
        "{error}"
    );
}

#[test]
fn says_what_the_tables_do_not_tell() {
    let identity = "[[task]]\nname = \"identity\"\n";
    let error = declared(identity, &["image,identity\na.png,ann\nb.png,\n"])
        .0
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("task `identity`: the training tables show 1 classes"),
        "{error}"
    );
    let error = declared("[[task]]\nname = \"attributes\"\n", &["image\na.png\n"])
        .0
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("task `attributes`: no training table has an attribute"),
        "{error}"
    );
    // Given outputs need no labels, but a run without any is worth a word.
    let given = "[[task]]\nname = \"light\"\nkind = \"softmax\"\noutputs = [\"day\", \"night\"]\n";
    let (found, said) = declared(given, &["image\na.png\n"]);
    assert!(found.is_ok());
    assert_eq!(said, ["task `light`: no training image has a label of it"]);
    let (_, said) = declared(given, &["image,light\na.png,dusk\nb.png,day\n"]);
    assert!(
        said[0].contains("1 training images show a class that is none of its outputs"),
        "{said:?}"
    );
    let marks = "[[task]]\nname = \"marks\"\nkind = \"sigmoid\"\noutputs = [\"hat\", \"bread\"]\n";
    let (_, said) = declared(marks, &[PEOPLE]);
    assert_eq!(said, ["task `marks`: no training image annotates bread"]);
    // Couplings that cannot be are the objective's to refuse.
    let wrong = "[[task]]\nname = \"expression\"\n[[task]]\nname = \"compound\"\noutputs = [\"a\", \"b\"]\n[[coupling]]\nof = [\"expression\", \"compound\"]\n";
    let error = declared(wrong, &["image\na.png\n"])
        .0
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a softmax task and a sigmoid task"),
        "{error}"
    );
}
