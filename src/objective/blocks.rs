//! Tasks in the blocks that the kernels compute: coupled ones together, the others where there is room.

use super::{Coupling, ObjectiveError, Task, TaskKind, TaskOptions, TaskWeighting, Tasks};
use crate::kernels::loss::{self, Columns, ValenceArousal, Weights};

/// What a block is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Slots {
    /// The positions of its softmax, sigmoid and continuous task.
    pub(super) tasks: [Option<usize>; 3],
    /// The position of what couples the first two.
    pub(super) coupling: Option<usize>,
}

/// The place of a kind among [`Slots::tasks`].
const fn slot(kind: TaskKind) -> usize {
    match kind {
        TaskKind::Softmax => 0,
        TaskKind::Sigmoid => 1,
        TaskKind::Linear | TaskKind::Tanh => 2,
    }
}

/// A block for each coupling; the other tasks stand in the first block where nothing of their kind does.
pub(super) fn assign(tasks: &Tasks, couplings: &[Coupling]) -> Result<Vec<Slots>, ObjectiveError> {
    let mut blocks: Vec<Slots> = Vec::new();
    let mut placed = vec![false; tasks.iter().len()];
    for (number, coupling) in couplings.iter().enumerate() {
        let mut block = Slots {
            coupling: Some(number),
            ..Slots::default()
        };
        for name in &coupling.of {
            let place = tasks.position(name);
            let place = place.ok_or_else(|| ObjectiveError::UnknownTask {
                coupling: coupling.of.clone(),
                name: name.clone(),
            })?;
            if std::mem::replace(&mut placed[place], true) {
                return Err(ObjectiveError::CoupledTwice { name: name.clone() });
            }
            let kind = tasks.iter().nth(place).map(|task| task.kind);
            block.tasks[kind.map_or(2, slot)] = Some(place);
        }
        let [Some(_), Some(_), None] = block.tasks else {
            return Err(ObjectiveError::CouplingKinds {
                of: coupling.of.clone(),
            });
        };
        blocks.push(block);
    }
    for (place, task) in tasks
        .iter()
        .enumerate()
        .filter(|(place, _)| !placed[*place])
    {
        let slot = slot(task.kind);
        match blocks.iter_mut().find(|block| block.tasks[slot].is_none()) {
            Some(block) => block.tasks[slot] = Some(place),
            None => {
                let mut block = Slots::default();
                block.tasks[slot] = Some(place);
                blocks.push(block);
            }
        }
    }
    Ok(blocks)
}

/// A block with all that is declared of its tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared<'a> {
    pub(super) tasks: &'a Tasks,
    /// Of all tasks, in their order.
    pub(super) options: &'a [TaskOptions],
    pub(super) coupling: Option<&'a Coupling>,
    pub(super) slots: &'a Slots,
}

impl<'a> Declared<'a> {
    /// The task of a kind, with its options.
    fn task(&self, kind: TaskKind) -> Option<(&'a Task, TaskOptions)> {
        let place = self.slots.tasks[slot(kind)]?;
        let options = self.options.get(place).cloned().unwrap_or_default();
        Some((self.tasks.iter().nth(place)?, options))
    }

    fn columns(&self, kind: TaskKind) -> Columns {
        let task = self.task(kind);
        let range = task.and_then(|(task, _)| self.tasks.columns(&task.name));
        range.map_or(Columns::default(), |range| Columns {
            start: range.start,
            len: range.len(),
        })
    }

    /// What the kernels compute, without padding.
    pub(super) fn block(&self, weighting: TaskWeighting) -> Result<loss::Block, ObjectiveError> {
        let kinds = [TaskKind::Softmax, TaskKind::Sigmoid, TaskKind::Linear];
        let mut weights = [0.0; 3];
        for (weight, kind) in weights.iter_mut().zip(kinds) {
            if let Some((task, options)) = self.task(kind) {
                options.check(&task.name, task.outputs.len())?;
                *weight = options.weight;
            }
        }
        let options = self.coupling.map(|coupling| coupling.options);
        if let Some(coupling) = self.coupling {
            coupling.options.check(&coupling.of)?;
        }
        let options = options.unwrap_or_default();
        let units = self.columns(TaskKind::Sigmoid);
        if units.len > loss::MOST_ACTION_UNITS {
            let name = self.task(TaskKind::Sigmoid).map(|it| it.0.name.clone());
            return Err(ObjectiveError::TooManyUnits {
                task: name.unwrap_or_default(),
                asked: units.len,
                allowed: loss::MOST_ACTION_UNITS,
            });
        }
        let smoothing = self.task(TaskKind::Softmax);
        Ok(loss::Block {
            expression: self.columns(TaskKind::Softmax),
            action_units: units,
            valence_arousal: self.axes()?,
            padding: Columns::default(),
            coupled: self.coupling.is_some(),
            form: options.form,
            stop_gradient: options.stop_gradient,
            sca_on: options.sca_on,
            co_annotate_aus: options.co_annotate_aus,
            label_smoothing: smoothing.map_or(0.0, |(_, options)| options.label_smoothing),
            weights: Weights {
                expression: weights[0],
                action_units: weights[1],
                valence_arousal: weights[2],
                distribution_matching: options.distribution_matching,
                soft_co_annotation: options.soft_co_annotation,
            },
            task_weighting: weighting,
        })
    }

    fn axes(&self) -> Result<Option<ValenceArousal>, ObjectiveError> {
        let Some((task, _)) = self.task(TaskKind::Linear) else {
            return Ok(None);
        };
        let columns = self.columns(TaskKind::Linear);
        if columns.len != 2 {
            return Err(ObjectiveError::Axes {
                task: task.name.clone(),
                asked: columns.len,
            });
        }
        Ok(Some(ValenceArousal {
            column: columns.start,
            tanh: task.kind == TaskKind::Tanh,
        }))
    }

    /// The block's tables, in the order that the kernels read.
    pub(super) fn tables(&self, block: &loss::Block) -> Result<Vec<f32>, ObjectiveError> {
        let (classes, units) = (block.expression.len, block.action_units.len);
        let mut tables = vec![0.0; classes];
        if let Some(Coupling { table, options, .. }) = self.coupling {
            if (table.classes(), table.action_units()) != (classes, units) {
                return Err(ObjectiveError::TableShape {
                    asked: [table.classes(), table.action_units()],
                    allowed: [classes, units],
                });
            }
            tables = table.matching(options.matching_table);
            tables.extend_from_slice(table.weights());
            tables.extend((0..classes).map(|class| table.row(class).iter().sum::<f32>()));
        }
        let or_ones = |weights: Vec<f32>, len| match weights.is_empty() {
            true => vec![1.0; len],
            false => weights,
        };
        if let Some((_, options)) = self.task(TaskKind::Softmax) {
            tables.extend(or_ones(options.class_weights, classes));
        }
        if let Some((_, options)) = self.task(TaskKind::Sigmoid) {
            tables.extend(or_ones(options.positive_weights, units));
        }
        tables.resize(block.tables_len(), 0.0);
        Ok(tables)
    }

    /// The terms: where each stands among all, its name, and its place in the losses, of which the block's begin at `first`.
    pub(super) fn terms(&self, first: usize, couplings: usize) -> Vec<(usize, String, usize)> {
        let count = self.tasks.iter().len();
        let mut terms = Vec::new();
        for (slot, place) in self.slots.tasks.iter().enumerate() {
            if let Some((place, task)) =
                place.and_then(|place| Some((place, self.tasks.iter().nth(place)?)))
            {
                terms.push((place, task.name.clone(), first + slot));
            }
        }
        if let (Some(number), Some(coupling)) = (self.slots.coupling, self.coupling) {
            let behind = match couplings {
                1 => String::new(),
                _ => format!("_{}", coupling.of.join("_")),
            };
            let names = ["distribution_matching", "soft_co_annotation"];
            for (index, name) in names.into_iter().enumerate() {
                let order = count + 2 * number + index;
                terms.push((order, format!("{name}{behind}"), first + 3 + index));
            }
        }
        terms
    }
}
