use super::*;

fn config(text: &str) -> ExperimentConfig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    std::fs::write(&path, text).unwrap();
    ExperimentConfig::read(&path, &[]).unwrap()
}

fn grid(text: &str) -> Grid {
    Grid::new(&config(text), Path::new("grid.toml")).unwrap()
}

const VARIANTS: &str = "seeds = [1, 2]\nau_shares = [1.0, 0.0625]\n\
    [[variant]]\nname = \"multi\"\n[[variant]]\nname = \"single\"\nsingle_task = true\n";

#[test]
fn equal_trainings_are_done_once() {
    let grid = grid(VARIANTS);
    assert_eq!(grid.cells.len(), 2 * 2 * 2);
    // A seed takes the multi-task network twice and the action units' twice; the two other tasks know no budget.
    assert_eq!(grid.trainings.len(), 2 * (2 + 2 + 2));
    let single = grid.cells.iter().filter(|cell| cell.variant == 1);
    let parts: Vec<_> = single.map(|cell| cell.parts.clone()).collect();
    assert_eq!((parts[0][0], parts[0][2]), (parts[1][0], parts[1][2]));
    assert_ne!(parts[0][1], parts[1][1]);
    let names: Vec<&str> = grid.trainings.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names[0], "multi, all of the AU labels, seed 1");
    assert!(names.contains(&"single, action units, 1/16 of the AU labels, seed 2"));
}

#[test]
fn seeds_come_one_after_the_other_so_that_pictures_are_drawn_once() {
    let seeds: Vec<u64> = grid(VARIANTS)
        .trainings
        .iter()
        .map(|it| it.1.seed)
        .collect();
    assert!(seeds.is_sorted(), "{seeds:?}");
}

#[test]
fn one_task_alone_has_its_weight_and_no_coupling() {
    let text = "seeds = [1]\n[objective]\ndistribution_matching = 1.0\naction_units = 0.5\npositive_weights = [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]\n\
        [[variant]]\nname = \"single\"\nsingle_task = true\n";
    let grid = grid(text);
    let objectives: Vec<_> = grid.trainings.iter().map(|it| &it.1.objective).collect();
    let weights = |it: &ObjectiveConfig| [it.expression, it.action_units, it.valence_arousal];
    assert_eq!(weights(objectives[0]), [1.0, 0.0, 0.0]);
    assert_eq!(weights(objectives[1]), [0.0, 0.5, 0.0]);
    assert_eq!(weights(objectives[2]), [0.0, 0.0, 1.0]);
    for (_, training) in &grid.trainings {
        assert_eq!(training.objective.distribution_matching, 0.0);
        assert_eq!(training.relatedness, None);
        assert_eq!(training.tasks().unwrap().iter().count(), 1);
    }
    assert_eq!(objectives[0].positive_weights, Vec::<f32>::new());
    assert_eq!(objectives[1].positive_weights.len(), 17);
}

#[test]
fn keys_that_an_uncoupled_training_does_not_use_make_no_difference() {
    let text = "seeds = [1]\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nshuffled = true\nobjective.form = \"positive\"\n\
        [[variant]]\nname = \"c\"\nobjective.distribution_matching = 0.1\n\
        [[variant]]\nname = \"d\"\nshuffled = true\nobjective.distribution_matching = 0.1\n";
    let grid = grid(text);
    let parts: Vec<_> = grid.cells.iter().map(|cell| cell.parts[0]).collect();
    assert_eq!(parts, [0, 0, 1, 2]);
    let table = |place: usize| grid.trainings[place].1.relatedness.clone().unwrap();
    assert_eq!(table(2), table(1).shuffled(1));
    assert_ne!(table(2), table(1));
}

#[test]
fn what_no_training_could_take_is_refused_with_its_variant() {
    let refused = |text: &str| {
        let error = Grid::new(&config(text), Path::new("grid.toml")).unwrap_err();
        error.to_string()
    };
    let negative = "[[variant]]\nname = \"a\"\nobjective.expression = -1.0\n";
    let message = refused(negative);
    assert!(
        message.starts_with("grid.toml: variant `a`: objective.expression = -1"),
        "{message}"
    );
    let table = "[[variant]]\nname = \"a\"\nobjective.relatedness = \"du\"\n";
    let message = refused(table);
    assert!(
        message.contains("variant `a`") && message.contains("give one of du2014"),
        "{message}"
    );
}

#[test]
fn shares_are_named_as_people_write_them() {
    for (share, name) in [
        (1.0, "all"),
        (0.0625, "1/16"),
        (1.0 / 3.0, "1/3"),
        (0.3, "0.3"),
    ] {
        assert_eq!(share_name(share), name);
    }
}
