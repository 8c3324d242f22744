//! Zero-shot compound expressions (Du, Tao, Martinez, PNAS 2014; arXiv:2105.03790, section on zero-shot learning): a
//! network that was trained on basic expressions, action units, valence and arousal scores expressions it never saw.
//!
//! For a compound class c made of the basic expressions a and b, with the set `A_c` of action units,
//!
//! ```text
//! score(c) = mean over A_c of p(AU) + p(a) + p(b) + agree(c)
//! agree(c) = 1 where c has happiness in it and valence > 0, or has not and valence < 0; else 0
//! ```

use super::{ObjectiveError, TaskKind, Tasks};

/// A compound expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compound {
    /// Its name.
    pub name: &'static str,
    /// The basic expressions that it is made of, named as in [`EXPRESSIONS`](super::EXPRESSIONS).
    pub parts: [&'static str; 2],
    /// FACS numbers of the action units that most people show.
    pub prototypical: &'static [u32],
    /// FACS numbers of those that many show.
    pub observational: &'static [u32],
}

const fn compound(
    name: &'static str,
    parts: [&'static str; 2],
    prototypical: &'static [u32],
    observational: &'static [u32],
) -> Compound {
    Compound {
        name,
        parts,
        prototypical,
        observational,
    }
}

/// The 15 compound expressions of Du, Tao and Martinez 2014. Appalled and hatred are both of anger and disgust, awed of
/// fear and surprise.
#[rustfmt::skip] // a table
pub const DU2014: [Compound; 15] = [
    compound("happily surprised", ["happiness", "surprise"], &[1, 2, 12, 25], &[5, 26]),
    compound("happily disgusted", ["happiness", "disgust"], &[10, 12, 25], &[4, 6, 9]),
    compound("sadly fearful", ["sadness", "fear"], &[1, 4, 20, 25], &[2, 5, 6, 15]),
    compound("sadly angry", ["sadness", "anger"], &[4, 15], &[6, 7, 11, 17]),
    compound("sadly surprised", ["sadness", "surprise"], &[1, 4, 25, 26], &[2, 6]),
    compound("sadly disgusted", ["sadness", "disgust"], &[4, 10], &[1, 6, 9, 11, 15, 17, 25]),
    compound("fearfully angry", ["fear", "anger"], &[4, 20, 25], &[5, 7, 10]),
    compound("fearfully surprised", ["fear", "surprise"], &[1, 2, 5, 20, 25], &[4, 10, 11, 26]),
    compound("fearfully disgusted", ["fear", "disgust"], &[1, 4, 10, 20, 25], &[2, 5, 6, 9, 15]),
    compound("angrily surprised", ["anger", "surprise"], &[4, 25, 26], &[5, 7, 10]),
    compound("angrily disgusted", ["anger", "disgust"], &[4, 10, 17], &[7, 9, 24]),
    compound("disgustedly surprised", ["disgust", "surprise"], &[1, 2, 5, 10], &[4, 9, 17, 24]),
    compound("appalled", ["disgust", "anger"], &[4, 10], &[6, 9, 17, 24]),
    compound("hatred", ["anger", "disgust"], &[4, 10], &[7, 9, 17, 24]),
    compound("awed", ["fear", "surprise"], &[1, 2, 5, 25], &[4, 20, 26]),
];

/// The place in [`DU2014`] of the compound expression of this name.
pub fn class_of(name: &str) -> Option<usize> {
    DU2014.iter().position(|class| class.name == name)
}

/// The 11 compound expressions of RAF-DB: those of [`DU2014`] that two basic expressions name, without "fearfully
/// disgusted".
pub fn raf_db() -> Vec<Compound> {
    let named = &DU2014[..12];
    let kept = |class: &&Compound| class.name != "fearfully disgusted";
    named.iter().filter(kept).copied().collect()
}

/// The action units that make up `A_c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnitSet {
    /// The prototypical ones.
    #[default]
    Prototypical,
    /// Those and the observational ones.
    WithObservational,
}

/// What a network says of one face.
#[derive(Clone, Copy, Debug)]
pub struct Predicted<'a> {
    /// Probabilities of the expressions, in the order of the task.
    pub expression: &'a [f32],
    /// Probabilities of the action units, in the order of the task.
    pub action_units: &'a [f32],
    /// Valence, in [-1, 1].
    pub valence: f32,
}

/// Scores the compound classes of one list for one network.
#[derive(Clone, Debug)]
pub struct Scorer {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    units: Vec<usize>,
    parts: [usize; 2],
    happy: bool,
}

impl Scorer {
    /// Finds the outputs that the classes need among those of the first softmax and the first sigmoid task. Action units
    /// that the network lacks (AU 11) are left out of `A_c`.
    ///
    /// # Errors
    /// [`ObjectiveError::Compound`] where the network lacks a basic expression, or every action unit of a class.
    pub fn new(tasks: &Tasks, classes: &[Compound], set: UnitSet) -> Result<Self, ObjectiveError> {
        let outputs = |kind| {
            let task = tasks.iter().find(|task| task.kind == kind);
            task.map_or(&[][..], |task| &task.outputs)
        };
        let (expressions, units) = (outputs(TaskKind::Softmax), outputs(TaskKind::Sigmoid));
        let expression = |name: &'static str| {
            let found = expressions.iter().position(|output| output == name);
            found.ok_or(ObjectiveError::Compound { output: name })
        };
        let unit = |number: &u32| {
            let name = format!("au{number}");
            units.iter().position(|output| *output == name)
        };
        let rows = classes.iter().map(|class| {
            let more = match set {
                UnitSet::Prototypical => &[][..],
                UnitSet::WithObservational => class.observational,
            };
            let row = Row {
                units: class
                    .prototypical
                    .iter()
                    .chain(more)
                    .filter_map(unit)
                    .collect(),
                parts: [expression(class.parts[0])?, expression(class.parts[1])?],
                happy: class.parts.contains(&"happiness"),
            };
            match row.units.is_empty() {
                true => Err(ObjectiveError::Compound {
                    output: "action_units",
                }),
                false => Ok(row),
            }
        });
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(Self { rows })
    }

    /// The score of each class, in the order of the list.
    ///
    /// # Errors
    /// [`ObjectiveError::Compound`] where `face` has fewer probabilities than the tasks have outputs.
    pub fn scores(&self, face: &Predicted<'_>) -> Result<Vec<f32>, ObjectiveError> {
        let missing = |output| move || ObjectiveError::Compound { output };
        let expression = |at: usize| {
            let p = face.expression.get(at).copied();
            p.ok_or_else(missing("expression"))
        };
        let unit = |&at: &usize| {
            let p = face.action_units.get(at).copied();
            p.ok_or_else(missing("action_units"))
        };
        let score = |row: &Row| {
            let units: f32 = row.units.iter().map(unit).sum::<Result<_, _>>()?;
            let parts = expression(row.parts[0])? + expression(row.parts[1])?;
            let agrees = if row.happy {
                face.valence > 0.0
            } else {
                face.valence < 0.0
            };
            Ok(units / row.units.len() as f32 + parts + f32::from(u8::from(agrees)))
        };
        self.rows.iter().map(score).collect()
    }

    /// The class with the largest score, the first among equals.
    ///
    /// # Errors
    /// As [`scores`](Self::scores); [`ObjectiveError::Compound`] also for an empty list of classes.
    pub fn predict(&self, face: &Predicted<'_>) -> Result<usize, ObjectiveError> {
        let scores = self.scores(face)?;
        let best = (0..scores.len()).reduce(|best, class| match scores[class] > scores[best] {
            true => class,
            false => best,
        });
        best.ok_or(ObjectiveError::Compound { output: "classes" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ACTION_UNITS, EXPRESSIONS};
    use super::*;

    fn face(expressions: &[(&str, f32)], units: &[u32]) -> (Vec<f32>, Vec<f32>) {
        let mut probability = vec![0.0; 7];
        for (name, p) in expressions {
            probability[EXPRESSIONS.iter().position(|e| e == name).unwrap()] = *p;
        }
        let on = ACTION_UNITS.map(|unit| f32::from(u8::from(units.contains(&unit))));
        (probability, on.to_vec())
    }

    #[test]
    fn score_is_the_papers_formula_worked_by_hand() {
        let scorer = Scorer::new(&Tasks::affect(), &DU2014, UnitSet::Prototypical).unwrap();
        let (expression, mut units) = face(&[("happiness", 0.5), ("surprise", 0.25)], &[1, 12]);
        units[1] = 0.5; // AU 2
        let face = Predicted {
            expression: &expression,
            action_units: &units,
            valence: 0.3,
        };
        let scores = scorer.scores(&face).unwrap();
        // happily surprised: AUs 1, 2, 12, 25 at 1, 0.5, 1, 0; both parts; valence agrees.
        assert_eq!(scores[0], 2.5 / 4.0 + 0.5 + 0.25 + 1.0);
        // sadly surprised: AUs 1, 4, 25, 26; surprise; positive valence disagrees.
        assert_eq!(scores[4], 0.25 + 0.25);
        assert_eq!(scorer.predict(&face), Ok(0));
    }

    #[test]
    fn every_class_wins_on_the_face_that_defines_it() {
        for set in [UnitSet::Prototypical, UnitSet::WithObservational] {
            let scorer = Scorer::new(&Tasks::affect(), &DU2014, set).unwrap();
            for (index, class) in DU2014.iter().enumerate() {
                let mut shown = class.prototypical.to_vec();
                if set == UnitSet::WithObservational {
                    shown.extend(class.observational);
                }
                let (expression, units) =
                    face(&[(class.parts[0], 0.5), (class.parts[1], 0.5)], &shown);
                let valence = if index < 2 { 0.5 } else { -0.5 };
                let face = Predicted {
                    expression: &expression,
                    action_units: &units,
                    valence,
                };
                let scores = scorer.scores(&face).unwrap();
                let best = scores.iter().copied().fold(f32::MIN, f32::max);
                assert_eq!(best, 3.0, "{}", class.name);
                assert_eq!(scores[index], best, "{}", class.name);
            }
        }
    }

    #[test]
    fn a_valence_of_zero_agrees_with_no_class() {
        let scorer = Scorer::new(&Tasks::affect(), &DU2014, UnitSet::default()).unwrap();
        let (expression, units) = face(&[], &[]);
        let face = Predicted {
            expression: &expression,
            action_units: &units,
            valence: 0.0,
        };
        assert_eq!(scorer.scores(&face).unwrap(), [0.0; 15]);
    }

    #[test]
    fn raf_db_has_its_eleven_classes() {
        let classes = raf_db();
        assert_eq!(classes.len(), 11);
        let names: Vec<_> = classes.iter().map(|class| class.name).collect();
        assert!(!names.contains(&"fearfully disgusted"));
        assert_eq!(names[10], "disgustedly surprised");
    }

    #[test]
    fn rejects_networks_and_faces_that_lack_what_is_scored() {
        let tasks: Vec<_> = Tasks::affect().iter().skip(1).cloned().collect();
        let tasks = Tasks::new(tasks).unwrap();
        assert!(Scorer::new(&tasks, &DU2014, UnitSet::default()).is_err());
        let scorer = Scorer::new(&Tasks::affect(), &DU2014, UnitSet::default()).unwrap();
        let short = Predicted {
            expression: &[0.5; 7],
            action_units: &[0.5; 3],
            valence: 0.1,
        };
        assert!(scorer.scores(&short).is_err());
    }
}
