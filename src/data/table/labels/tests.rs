use super::*;
use crate::data::DataError;
use crate::objective::Labels;

fn task(name: &str, kind: TaskKind, outputs: &[&str]) -> Task {
    Task {
        name: name.to_owned(),
        kind,
        outputs: outputs.iter().map(|&it| it.to_owned()).collect(),
    }
}

fn read(text: &str, tasks: &Tasks) -> Result<(Table, Vec<Labelled>), DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).unwrap();
    let mut table = Table::read_for(&path, &Wanted::by(tasks))?;
    let labelled = table.label(tasks);
    Ok((table, labelled))
}

#[test]
fn every_kind_of_task_finds_its_columns() {
    let tasks = Tasks::new(vec![
        task("identity", TaskKind::Softmax, &["bob", "ann"]),
        task("marks", TaskKind::Sigmoid, &["Hat", "au12", "Beard"]),
        task("pose", TaskKind::Tanh, &["yaw", "arousal"]),
        task("Light", TaskKind::Softmax, &["day", "night"]),
        task("expression", TaskKind::Softmax, &["fear", "neutral"]),
    ])
    .unwrap();
    let (table, labelled) = read(
        "image,identity,Hat,au12,valence,arousal,yaw,light,expression,split\n\
         a.png,ann,1,0,0.5,-0.5,12.5,night,neutral,x\n\
         b.png,cid,,1,,,3,dusk,anger,x\n\
         c.png,,,,,,,,,x\n",
        &tasks,
    )
    .unwrap();
    let labels: Vec<&Labels> = table.rows.iter().map(|row| &row.labels).collect();
    let bits = |mask, on| Label::Bits { mask, on };
    assert_eq!(
        labels[0].tasks,
        [
            Label::Class(1),
            bits(0b011, 0b001),
            Label::Values([12.5, -0.5]),
            Label::Class(1),
            Label::Class(1),
        ]
    );
    // People, light and expressions that the tasks do not have are no labels; half a pair of values is none either.
    let missing = Label::Missing;
    let second = [missing, bits(0b010, 0b010), missing, missing, missing];
    assert_eq!(labels[1].tasks, second);
    assert_eq!(labels[2].tasks, [missing; 5]);
    let counts: Vec<_> = labelled.iter().map(|it| (it.rows, it.unknown)).collect();
    assert_eq!(counts, [(1, 1), (2, 0), (1, 0), (1, 1), (1, 1)]);
    assert_eq!(table.class_names("Light"), ["night", "dusk"]);
    assert_eq!(table.classes_shown("identity").collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn columns_that_nobody_asked_for_are_attributes_as_ever() {
    let affect = Tasks::affect();
    let text = "image,light\na.png,night\n";
    let error = read(text, &affect).unwrap_err().to_string();
    assert!(error.contains("0, 1 or empty"), "{error}");
    let pose = Tasks::new(vec![task("pose", TaskKind::Linear, &["yaw", "pitch"])]).unwrap();
    for bad in ["nan", "inf", "left"] {
        let text = format!("image,yaw,pitch\na.png,1,{bad}\n");
        let error = read(&text, &pose).unwrap_err().to_string();
        assert!(
            error.contains("pitch") && error.contains("a finite number"),
            "{error}"
        );
    }
    // A task without its columns has no labels.
    let (table, labelled) = read("image\na.png\n", &pose).unwrap();
    assert_eq!(table.rows[0].labels.tasks, [Label::Missing]);
    assert_eq!(labelled, [Labelled::default()]);
}
