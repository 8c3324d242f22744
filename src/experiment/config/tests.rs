use super::*;
use crate::objective::Form;
use std::path::Path;

fn read(text: &str, sets: &[&str]) -> Result<ExperimentConfig, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    std::fs::write(&path, text).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    ExperimentConfig::read(&path, &sets)
}

/// The message of the error, without the folder.
fn message(text: &str, sets: &[&str]) -> String {
    let text = read(text, sets).unwrap_err().to_string();
    match text.find("grid.toml") {
        Some(start) => text[start..].to_owned(),
        None => text,
    }
}

const SMALL: &str = "[objective]\nform = \"positive\"\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\n\
                     objective.distribution_matching = 0.5\n[[variant]]\nname = \"c\"\nsingle_task = true\n";

#[test]
fn defaults_fill_the_smallest_useful_form() {
    let config = read(SMALL, &[]).unwrap();
    assert_eq!(config.seeds, [1, 2, 3, 4, 5]);
    assert_eq!(config.au_shares, [1.0]);
    assert_eq!(config.faces.databases.len(), 3);
    let against = |of: &str| Comparison {
        of: of.to_owned(),
        to: "a".to_owned(),
    };
    assert_eq!(config.comparison, [against("b"), against("c")]);
}

#[test]
fn a_variant_changes_the_keys_that_it_names() {
    let config = read(SMALL, &["objective.soft_co_annotation=2.0"]).unwrap();
    let own = config.objective_of(&config.variant[1]).unwrap();
    assert_eq!(own.form, Form::Positive);
    assert_eq!(
        (own.distribution_matching, own.soft_co_annotation),
        (0.5, 2.0)
    );
    let first = config.objective_of(&config.variant[0]).unwrap();
    assert_eq!(first, config.objective);
}

#[test]
fn what_is_resolved_reads_as_the_same() {
    let config = read(SMALL, &["seeds=[7]", "variant.0.au_shares=[1.0]"]).unwrap();
    assert_eq!(config.seeds, [7]);
    let again = read(&config.to_toml().unwrap(), &[]).unwrap();
    assert_eq!(again, config);
}

#[test]
fn unknown_keys_name_line_and_the_nearest() {
    for (text, wanted) in [
        (
            format!("seed = [1]\n{SMALL}"),
            "grid.toml:1: unknown key `seed`; the nearest known key is `seeds`",
        ),
        (
            format!("{SMALL}objective.from = \"positive\"\n"),
            "grid.toml:11: unknown key `variant.2.objective.from`; the nearest known key is `variant.objective.form`",
        ),
        (
            format!("{SMALL}[train]\nstep = 3\n"),
            "grid.toml:12: unknown key `train.step`; the nearest known key is `train.steps`",
        ),
    ] {
        assert_eq!(message(&text, &[]), wanted);
    }
}

#[test]
fn values_that_cannot_be_name_line_and_range() {
    for (text, wanted) in [
        (
            format!("{SMALL}objective.form = \"positiv\"\n"),
            "grid.toml:11: variant `c`, variant.2.objective.form: unknown variant `positiv`",
        ),
        (
            format!("{SMALL}[[variant]]\nname = \"a\"\n"),
            "grid.toml:12: variant.3.name = \"a\", but it must be a name of its own",
        ),
        (
            format!("{SMALL}[[comparison]]\nof = \"b\"\nto = \"aa\"\n"),
            "grid.toml:13: comparison.0.to = \"aa\", but it must be the name of a variant; the nearest is \"a\"",
        ),
        (
            format!("au_shares = [1.0, 0.0]\n{SMALL}"),
            "grid.toml:1: au_shares = [1.0, 0.0], but it must be at least one share above 0",
        ),
        (
            format!("seeds = [1, 1]\n{SMALL}"),
            "grid.toml:1: seeds = [1, 1], but it must be at least one seed, each once",
        ),
        (
            format!("{SMALL}au_shares = [0.5]\n"),
            "grid.toml:11: variant.2.au_shares = [0.5], but it must be some of the grid's",
        ),
        (
            format!("{SMALL}databases = [[\"expression\"], []]\n"),
            "grid.toml:11: variant.2.databases = 2 databases, but it must be one to three",
        ),
        (
            format!("{SMALL}[train]\nbatch = 25\n"),
            "grid.toml:12: train.batch = 25, but it must be a multiple of the number of databases",
        ),
        (
            format!("{SMALL}compound = \"few_shot\"\n"),
            "grid.toml:11: variant.2.compound = few_shot, but it must be zero_shot unless [few_shot] has shots",
        ),
        (
            format!("{SMALL}[model]\nsize = 31\n"),
            "grid.toml:12: model.size = 31, but it must be even",
        ),
        ("title = \"t\"\n".to_owned(), "variant = [], but it must be"),
    ] {
        let message = message(&text, &[]);
        assert!(message.contains(wanted), "{message}\n{wanted}");
    }
}

/// With how many trainings each takes: half a minute to a minute each, within two hours.
#[test]
fn the_grids_that_come_with_the_program_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments");
    let grid = |name: &str| {
        let path = folder.join(name).with_extension("toml");
        let config = ExperimentConfig::read(&path, &[]).unwrap();
        let trainings = super::super::Grid::new(&config, &path).unwrap().trainings;
        (trainings.len(), config.seeds.len())
    };
    assert_eq!(grid("tasks"), (35, 5));
    assert_eq!(grid("budgets"), (70, 5));
    assert_eq!(grid("control"), (30, 5));
    assert_eq!(grid("form"), (30, 5));
    assert_eq!(grid("compounds"), (10, 5));
    assert_eq!(grid("identity"), (45, 5));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 6);
}
