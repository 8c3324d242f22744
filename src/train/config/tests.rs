use super::*;
use crate::objective::{Form, MatchingTable, StopGradient, Tasks};

fn read(text: &str, sets: &[&str]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::read(&path, &sets)
}

/// The message of the error, without the folder.
fn message(text: &str, sets: &[&str]) -> String {
    let text = read(text, sets).unwrap_err().to_string();
    match text.find("config.toml") {
        Some(start) => text[start..].to_owned(),
        None => text,
    }
}

const SMALL: &str = "[model]\nbackbone = \"mobile\"\n[[data]]\npath = \"train.csv\"\n";

#[test]
fn defaults_fill_the_smallest_useful_form() {
    let config = read(SMALL, &[]).unwrap();
    let (optimizer, train) = (&config.optimizer, &config.train);
    assert_eq!((config.model.size, train.batch, train.seed), (112, 64, 1));
    assert_eq!(
        (optimizer.kind.as_str(), optimizer.learning_rate),
        ("adam", 1e-4)
    );
    assert_eq!((train.steps, train.max_seconds), (None, None));
    assert_eq!(config.objective, ObjectiveConfig::default());
    let data = &config.data[0];
    assert!(data.path.is_absolute() && data.path.ends_with("train.csv"));
    assert_eq!(
        (data.format.as_str(), data.weight, &data.split),
        ("table", None, &None)
    );
    assert!(config.validation.is_empty());
}

#[test]
fn the_contracts_example_is_read() {
    let text = r#"
        [model]
        backbone = "resnet50"
        size = 112
        pretrained = "resnet50.safetensors"
        [[data]]
        name = "fer"
        format = "table"
        path = "fer2013/train.csv"
        weight = 1.0
        [[validation]]
        name = "fer-public"
        format = "table"
        path = "fer2013/public_test.csv"
        [objective]
        distribution_matching = 1.0
        soft_co_annotation = 1.0
        relatedness = "du2014"
        [train]
        epochs = 30
        batch = 64
        precision = "f16"
        memory = "low"
        seed = 1
    "#;
    let config = read(text, &[]).unwrap();
    let pretrained = config.model.pretrained.unwrap();
    assert!(pretrained.is_absolute() && pretrained.ends_with("resnet50.safetensors"));
    assert_eq!(
        (config.data[0].label(), config.data[0].weight),
        ("fer".to_owned(), Some(1.0))
    );
    assert!(
        config.validation[0]
            .path
            .ends_with("fer2013/public_test.csv")
    );
    assert_eq!(config.objective.relatedness, "du2014");
    assert_eq!(config.train.epochs, 30.0);
}

#[test]
fn sets_are_typed_and_reach_into_lists() {
    let config = read(
        SMALL,
        &[
            "train.batch=8",
            "data.0.path=faces.csv",
            "data.1.path=/elsewhere/more.csv",
            "data.1.split=train",
            "model.backbone=resnet18",
            "objective.relatedness=tables/mine.toml",
            "augment.flip=false",
            "objective.class_weights=[1, 2, 3, 4, 5, 6, 7]",
        ],
    )
    .unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.train.batch, 8);
    assert_eq!(config.data[0].path, here.join("faces.csv"));
    assert_eq!(config.data[1].path, Path::new("/elsewhere/more.csv"));
    assert_eq!(config.data[1].split.as_deref(), Some("train"));
    assert_eq!(config.model.backbone, "resnet18");
    assert_eq!(
        Path::new(&config.objective.relatedness),
        here.join("tables/mine.toml")
    );
    assert!(!config.augment.flip);
    assert_eq!(config.objective.class_weights[6], 7.0);
}

#[test]
fn rejects_sets_that_cannot_be_applied() {
    for (set, wanted) in [
        ("train.batch", "must be KEY=VALUE"),
        ("train..batch=3", "a part of the key is empty"),
        ("=3", "a part of the key is empty"),
        ("data.5.path=x", "the list has 1 entries"),
        ("data.path=x", "`path` must be the number of a list's entry"),
        ("model.backbone.kind=x", "`kind` is below a value"),
    ] {
        let text = message(SMALL, &[set]);
        assert!(
            text.starts_with(&format!("--set {set}: ")) && text.contains(wanted),
            "{text}"
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    for (more, wanted) in [
        (
            "[train]\nepoch = 3\n",
            "config.toml:6: unknown key `train.epoch`; the nearest known key is `train.epochs`",
        ),
        // The same name is known elsewhere, and stands there first.
        (
            "[train]\npath = \"x\"\n",
            "config.toml:6: unknown key `train.path`",
        ),
        (
            "[trian]\nepochs = 3\n",
            "config.toml:5: unknown key `trian`; the nearest known key is `train`",
        ),
        (
            "weigth = 1.0\n",
            "config.toml:5: unknown key `data.0.weigth`; the nearest known key is `data.weight`",
        ),
        (
            "[optimizer]\nkind = \"sgd\"\n\"momentun\" = 0.5\n",
            "config.toml:7: unknown key `optimizer.momentun`",
        ),
        (
            "[objective]\nvalence = 1.0\n",
            "config.toml:6: unknown key `objective.valence`",
        ),
    ] {
        let text = message(&format!("{SMALL}{more}"), &[]);
        assert!(text.starts_with(wanted), "{text}");
    }
    let text = message(SMALL, &["data.0.pth=x"]);
    assert!(
        text.starts_with(
            "config.toml: unknown key `data.0.pth`; the nearest known key is `data.path`"
        ),
        "{text}"
    );
}

#[test]
fn rejects_values_of_another_type_with_their_line() {
    let text = message(&format!("{SMALL}[train]\n\nbatch = \"many\"\n"), &[]);
    assert!(
        text.starts_with("config.toml:7: invalid type: string"),
        "{text}"
    );
    let text = message("[model]\nsize = 48\n[model\n", &[]);
    assert!(text.starts_with("config.toml:3: "), "{text}");
    let text = message(SMALL, &["train.batch=\"many\""]);
    assert!(
        text.starts_with("config.toml: with --set: ") && text.contains("train.batch"),
        "{text}"
    );
    let error = Config::read(Path::new("no/such.toml"), &[]).unwrap_err();
    assert!(error.to_string().starts_with("no/such.toml: "), "{error}");
}

#[test]
fn rejects_values_out_of_range() {
    for set in [
        "model.backbone=resnet51",
        "model.size=0",
        "model.width=nan",
        "model.depth=0.0",
        "data.0.format=disfa",
        "data.0.path=\"\"",
        "data.0.weight=0.0",
        "data.0.weight=nan",
        "validation.0.path=\"\"",
        "optimizer.kind=lion",
        "optimizer.decay=linear",
        "optimizer.learning_rate=-1.0",
        "optimizer.learning_rate=inf",
        "optimizer.weight_decay=-0.1",
        "optimizer.momentum=1.0",
        "augment.rotation=nan",
        "augment.scale=1.0",
        "augment.shift=-0.1",
        "train.batch=0",
        "train.epochs=0.0",
        "train.steps=0",
        "train.max_seconds=nan",
        "train.precision=f64",
        "train.memory=medium",
        "train.cache_mib=99999999999",
        "train.cache_dir=\"\"",
    ] {
        let error = read(SMALL, &[set]).unwrap_err();
        let key = set.split('=').next().unwrap();
        assert!(
            matches!(&error, ConfigError::Range { key: found, line: Line(None), .. } if found == key),
            "{set}: {error}"
        );
    }
    let text = message(&format!("{SMALL}[train]\nbatch = 0\n"), &[]);
    assert_eq!(
        text,
        "config.toml:6: train.batch = 0, but it must be from 1 to 65536"
    );
    let text = message("[model]\n", &[]);
    assert!(text.contains("at least one [[data]] entry"), "{text}");
    assert!(read(SMALL, &["train.batch=-1"]).is_err());
}

#[test]
fn the_resolved_configuration_reads_back_from_anywhere() {
    let config = read(
        SMALL,
        &[
            "train.steps=7",
            "train.max_seconds=1.5",
            "train.cache_dir=kept",
            "model.pretrained=w.safetensors",
            "data.0.weight=0.5",
        ],
    )
    .unwrap();
    assert_eq!(read(&config.to_toml().unwrap(), &[]).unwrap(), config);
    let whole = read(
        &Config::default().to_toml().unwrap(),
        &["data.0.path=x.csv"],
    )
    .unwrap();
    assert_eq!(whole.train, TrainConfig::default());
}

#[test]
fn the_configurations_that_come_with_the_program_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            Config::read(&path, &[]).unwrap();
            count += 1;
        }
    }
    assert!(count > 0);
}

const TASKS: &str = "[[task]]\nname = \"identity\"\nmin_images = 2\n[[task]]\nname = \"attributes\"\nweight = 0.5\n";

#[test]
fn tasks_and_couplings_are_data() {
    let text = format!(
        "{SMALL}{TASKS}[[task]]\nname = \"pose\"\nkind = \"tanh\"\noutputs = [\"yaw\", \"pitch\"]\n\
         [[coupling]]\nof = [\"identity\", \"attributes\"]\ndistribution_matching = 0.1\nstop_gradient = \"q\"\n\
         [objective]\ntask_weighting = \"uncertainty\"\n"
    );
    let config = read(
        &text,
        &["task.0.label_smoothing=0.1", "coupling.0.form=positive"],
    )
    .unwrap();
    let [identity, attributes, pose] = &config.task[..] else {
        panic!("{:?}", config.task);
    };
    assert_eq!(
        (identity.kind(), identity.min_images),
        (Some(TaskKind::Softmax), 2)
    );
    assert!(identity.outputs().is_empty());
    assert_eq!(identity.options().label_smoothing, 0.1);
    assert_eq!(
        (attributes.kind(), attributes.options().weight),
        (Some(TaskKind::Sigmoid), 0.5)
    );
    assert_eq!(
        (pose.kind(), pose.outputs().len()),
        (Some(TaskKind::Tanh), 2)
    );
    let coupling = &config.coupling[0];
    // Of people nothing is known beforehand; weights of data are not 0 or 1.
    assert_eq!(coupling.table(), ESTIMATE);
    let options = coupling.options();
    assert_eq!(options.matching_table, MatchingTable::Weighted);
    assert_eq!(
        (options.form, options.stop_gradient),
        (Form::Positive, StopGradient::Q)
    );
    assert_eq!(read(&config.to_toml().unwrap(), &[]).unwrap(), config);
    // The affect tasks by their names: as without any.
    let affect = "[[task]]\nname = \"expression\"\n[[task]]\nname = \"action_units\"\n[[coupling]]\nof = [\"action_units\", \"expression\"]\n";
    let config = read(&format!("{SMALL}{affect}"), &[]).unwrap();
    assert_eq!(
        config.task[0].outputs(),
        Tasks::affect().get("expression").unwrap().outputs
    );
    assert_eq!(config.coupling[0].table(), "du2014");
    assert_eq!(
        config.coupling[0].options().matching_table,
        MatchingTable::Binary
    );
    let file = read(
        &format!("{SMALL}{affect}relatedness = \"mine.toml\"\n"),
        &[],
    )
    .unwrap();
    assert!(Path::new(file.coupling[0].table()).is_absolute());
}

#[test]
fn rejects_tasks_and_couplings_that_say_too_little_or_too_much() {
    for (more, wanted) in [
        (
            "[[task]]\nkind = \"softmax\"\n",
            "task.0.name = \"\", but it must be a name that no other task has",
        ),
        (
            "[[task]]\nname = \"identity\"\n[[task]]\nname = \"identity\"\n",
            "config.toml:8: task.1.name = \"identity\"",
        ),
        (
            "[[task]]\nname = \"gender\"\n",
            "task.0.kind = nothing, but it must be softmax, sigmoid, linear or tanh, as the name is none of expression",
        ),
        (
            "[[task]]\nname = \"identity\"\nkind = \"sigmoid\"\n",
            "config.toml:7: task.0.kind = sigmoid, but it must be softmax for `identity`",
        ),
        (
            "[[task]]\nname = \"valence_arousal\"\nkind = \"softmax\"\n",
            "linear or tanh for `valence_arousal`",
        ),
        (
            "[[task]]\nname = \"marks\"\nkind = \"sigmoid\"\n",
            "task.0.outputs = []",
        ),
        (
            "[[task]]\nname = \"pose\"\nkind = \"linear\"\noutputs = [\"yaw\"]\n",
            "the two columns that the task reads",
        ),
        (
            "[[task]]\nname = \"expression\"\noutputs = [\"joy\", \"fear\"]\n",
            "task.0.outputs",
        ),
        (
            "[[task]]\nname = \"identity\"\nmin_images = 0\n",
            "config.toml:7: task.0.min_images = 0",
        ),
        (
            "[[task]]\nname = \"expression\"\nmin_images = 2\n",
            "task.0.min_images = 2",
        ),
        (
            "[[coupling]]\nof = [\"expression\", \"action_units\"]\n",
            "config.toml:6: coupling.0.of",
        ),
        (
            "[[task]]\nname = \"identity\"\n[[coupling]]\nof = [\"identity\"]\n",
            "config.toml:8: invalid length 1",
        ),
        (
            "[[task]]\nname = \"identity\"\n[objective]\ndistribution_matching = 1.0\n",
            "config.toml:8: objective.distribution_matching = 1.0, but it must be left out beside [[task]]",
        ),
        (
            "[[task]]\nname = \"identity\"\nwieght = 2.0\n",
            "config.toml:7: unknown key `task.0.wieght`; the nearest known key is `task.weight`",
        ),
    ] {
        let text = message(&format!("{SMALL}{more}"), &[]);
        assert!(text.contains(wanted), "{text}\nis not\n{wanted}");
    }
}
