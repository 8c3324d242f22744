//! The ranges of an experiment's values.

use super::config::{CompoundBy, ExperimentConfig, LabelKind, Variant};
use super::gallery::KNOWN;
use super::world::MOST_DATABASES;
use crate::data::nearest;
use crate::nn::Backbone;
use crate::train::config::{ConfigError, Rules, Source};

type Checked = Result<(), ConfigError>;

/// Refuses the first value outside its range. The objectives check their own.
pub(super) fn check(config: &ExperimentConfig, source: &Source<'_, ExperimentConfig>) -> Checked {
    let rules = Rules { source };
    grid(config, &rules)?;
    model(config, &rules)?;
    faces(config, &rules)?;
    train(config, &rules)?;
    tasks(config, &rules)?;
    for (index, variant) in config.variant.iter().enumerate() {
        one_variant(config, index, variant, &rules)?;
    }
    comparisons(config, &rules)
}

type OfGrid<'a> = Rules<'a, ExperimentConfig>;

fn distinct<T: PartialEq>(values: &[T]) -> bool {
    let twice = |(place, value): (usize, &T)| values[..place].contains(value);
    !values.iter().enumerate().any(twice)
}

fn grid(config: &ExperimentConfig, rules: &OfGrid<'_>) -> Checked {
    let (seeds, shares) = (&config.seeds, &config.au_shares);
    rules.holds(
        "seeds",
        &format!("{seeds:?}"),
        !seeds.is_empty() && distinct(seeds),
        "at least one seed, each once",
    )?;
    let fractions = shares.iter().all(|share| *share > 0.0 && *share <= 1.0);
    rules.holds(
        "au_shares",
        &format!("{shares:?}"),
        !shares.is_empty() && fractions && distinct(shares),
        "at least one share above 0 and at most 1, each once",
    )?;
    let some = !config.variant.is_empty();
    rules.holds("variant", &"[]", some, "at least one [[variant]] entry")
}

fn model(config: &ExperimentConfig, rules: &OfGrid<'_>) -> Checked {
    let model = &config.model;
    let known = model.backbone.parse::<Backbone>().is_ok();
    let names = "resnet18, resnet34, resnet50, vgg16 or mobile";
    rules.holds("model.backbone", &model.backbone, known, names)?;
    let size = (8..=512).contains(&model.size) && model.size.is_multiple_of(2);
    rules.holds("model.size", &model.size, size, "even, from 8 to 512")?;
    let scales = [("model.width", model.width), ("model.depth", model.depth)];
    for (key, asked) in scales {
        let holds = |scale| scale > 0.0 && scale <= 16.0;
        rules.within(key, asked.into(), holds, "above 0 and at most 16")?;
    }
    Ok(())
}

fn faces(config: &ExperimentConfig, rules: &OfGrid<'_>) -> Checked {
    let faces = &config.faces;
    let counts = [
        ("faces.pictures", faces.pictures),
        ("faces.validation", faces.validation),
        ("faces.test", faces.test),
        ("faces.people", faces.people as usize),
    ];
    for (key, asked) in counts {
        let holds = (1..=1_000_000).contains(&asked);
        rules.holds(key, &asked, holds, "from 1 to 1000000")?;
    }
    databases("faces.databases", &faces.databases, config, rules)
}

fn databases(
    key: &str,
    databases: &[Vec<LabelKind>],
    config: &ExperimentConfig,
    rules: &OfGrid<'_>,
) -> Checked {
    let some = (1..=MOST_DATABASES).contains(&databases.len());
    let labelled = databases.iter().all(|kinds| !kinds.is_empty());
    rules.holds(
        key,
        &format!("{} databases", databases.len()),
        some && labelled,
        "one to three lists of labels, none of them empty",
    )?;
    let batch = config.train.batch;
    rules.holds(
        "train.batch",
        &batch,
        batch > 0 && batch <= 65536 && batch.is_multiple_of(databases.len()),
        "a multiple of the number of databases, at most 65536",
    )
}

fn train(config: &ExperimentConfig, rules: &OfGrid<'_>) -> Checked {
    let few = &config.few_shot;
    let shots = few.shots <= 10_000;
    rules.holds("few_shot.shots", &few.shots, shots, "at most 10000")?;
    let steps = few.steps <= 1_000_000;
    rules.holds("few_shot.steps", &few.steps, steps, "at most 1000000")?;
    let train = &config.train;
    let steps = (1..=100_000_000).contains(&train.steps);
    rules.holds("train.steps", &train.steps, steps, "from 1 to 100000000")?;
    rules.within(
        "train.learning_rate",
        train.learning_rate,
        |v| v > 0.0,
        "a number above 0",
    )?;
    rules.within(
        "train.weight_decay",
        train.weight_decay,
        |v| v >= 0.0,
        "0 or a number above it",
    )?;
    let precision = ["f32", "f16"].contains(&train.precision.as_str());
    rules.holds("train.precision", &train.precision, precision, "f32 or f16")
}

/// Synthetic faces have their own outputs.
fn tasks(config: &ExperimentConfig, rules: &OfGrid<'_>) -> Checked {
    for (index, task) in config.task.iter().enumerate() {
        let key = format!("task.{index}");
        let known = KNOWN.contains(&task.name.as_str());
        let names = KNOWN.join(", ");
        let name = format!("\"{}\"", task.name);
        rules.holds(
            &format!("{key}.name"),
            &name,
            known,
            &format!("one of {names}"),
        )?;
        let own = task.kind.is_none() && task.outputs.is_empty() && task.min_images == 1;
        let allowed = "a task without kind, outputs and min_images, which synthetic faces tell";
        rules.holds(&key, &name, own, allowed)?;
    }
    let own = config
        .variant
        .iter()
        .flat_map(|it| it.coupling.iter().flatten());
    let couplings = config.coupling.iter().chain(own).count();
    let count = if config.task.is_empty() { couplings } else { 0 };
    let allowed = "none without [[task]]: `objective` couples the tasks of affect";
    rules.holds("coupling", &count, count == 0, allowed)
}

fn one_variant(
    config: &ExperimentConfig,
    index: usize,
    variant: &Variant,
    rules: &OfGrid<'_>,
) -> Checked {
    let key = format!("variant.{index}");
    let earlier = &config.variant[..index];
    let own = !variant.name.is_empty() && earlier.iter().all(|other| other.name != variant.name);
    rules.holds(
        &format!("{key}.name"),
        &format!("\"{}\"", variant.name),
        own,
        "a name of its own",
    )?;
    let few = &config.few_shot;
    let can = match variant.compound {
        CompoundBy::ZeroShot => true,
        CompoundBy::FewShot => few.shots > 0 && !variant.single_task,
        CompoundBy::FewShotTuned => few.shots > 0 && few.steps > 0 && !variant.single_task,
    };
    rules.holds(
        &format!("{key}.compound"),
        &variant.compound.name(),
        can,
        "zero_shot unless [few_shot] has shots, for few_shot_tuned also steps, and the variant is one network",
    )?;
    if let Some(own) = &variant.databases {
        databases(&format!("{key}.databases"), own, config, rules)?;
    }
    if let Some(shares) = &variant.au_shares {
        let known = shares.iter().all(|share| config.au_shares.contains(share));
        rules.holds(
            &format!("{key}.au_shares"),
            &format!("{shares:?}"),
            known && !shares.is_empty() && distinct(shares),
            "some of the grid's au_shares, each once",
        )?;
    }
    Ok(())
}

fn comparisons(config: &ExperimentConfig, rules: &OfGrid<'_>) -> Checked {
    let names: Vec<&str> = config.variant.iter().map(|it| it.name.as_str()).collect();
    for (index, comparison) in config.comparison.iter().enumerate() {
        for (side, name) in [("of", &comparison.of), ("to", &comparison.to)] {
            let near = nearest(name, &names).unwrap_or_default();
            rules.holds(
                &format!("comparison.{index}.{side}"),
                &format!("\"{name}\""),
                names.contains(&name.as_str()),
                &format!("the name of a variant; the nearest is \"{near}\""),
            )?;
        }
    }
    Ok(())
}
