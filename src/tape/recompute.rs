//! Less memory for more arithmetic: values that one elementwise pass makes are dropped in the forward pass and made again in the
//! backward pass.
//!
//! It works on the list of dispatches. The turn is the dispatch across which the most bytes of such values lie idle: in a training
//! step, the objective. Where a dispatch behind the turn reads a dropped value, the pass that made it runs again right before, on the
//! same inputs, which thereby live that long; of a chain of residual sums, the earlier ones come first. Each value is made
//! again at most once, with the same bits. What does not lower the arena's size is not dropped.

use super::Value;
use super::arena::{self, Arena};
use super::dispatch::{Operand, Step};
use super::graph::{Info, Place};
use crate::kernels::Access;
use std::collections::HashMap;

/// What is recomputed instead of stored. The results have the same bits either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Nothing: the fewest bytes moved and dispatches.
    #[default]
    Fast,
    /// Values of one elementwise pass, wherever that lowers the arena's size.
    Low,
}

impl Memory {
    /// `fast` or `low`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Low => "low",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Fast, Self::Low]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// Kernels that are one pass over their inputs, whose result depends on nothing else.
const CHEAP: [&str; 3] = ["batch_norm_apply", "image_input", "max_pool2d"];

/// A step's dispatches with what they work on.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) values: Vec<Info>,
    pub(super) scratch: Vec<usize>,
    pub(super) steps: Vec<Step>,
    /// How many of the dispatches make a value again.
    pub(super) recomputed: usize,
}

impl Draft {
    fn arena(&self, outputs: &[Value], max_buffer: u64) -> Arena {
        arena::plan(
            &self.values,
            &self.scratch,
            &self.steps,
            0,
            outputs,
            max_buffer,
        )
    }
}

/// The draft of the lowest arena that dropping values gives, with as few passes repeated as it takes; the draft itself where none
/// is lower.
pub(super) fn recompute(draft: Draft, outputs: &[Value], max_buffer: u64) -> Draft {
    let uses = Uses::of(&draft);
    let candidates: Vec<usize> = (0..draft.steps.len())
        .filter(|&step| uses.is_repeatable(&draft, step, outputs))
        .collect();
    let Some(turn) = uses.turn(&draft, &candidates) else {
        return draft;
    };
    let mut order: Vec<usize> = candidates
        .into_iter()
        .filter(|&step| uses.is_idle(&draft.steps[step], turn))
        .collect();
    let mut chosen = vec![false; draft.steps.len()];
    for &step in &order {
        chosen[step] = true;
    }
    let bytes = |chosen: &[bool]| {
        let lower = repeated(&draft, &uses, chosen, turn);
        lower.arena(outputs, max_buffer).bytes()
    };
    // The passes that move the most bytes are spared first.
    let moved = |step: &Step| step.call.bytes_read() + step.call.bytes_written();
    order.sort_by_key(|&step| std::cmp::Reverse(moved(&draft.steps[step])));
    let mut best = bytes(&chosen);
    for step in order {
        chosen[step] = false;
        let without = bytes(&chosen);
        if without <= best {
            best = without;
        } else {
            chosen[step] = true;
        }
    }
    if best < draft.arena(outputs, max_buffer).bytes() {
        repeated(&draft, &uses, &chosen, turn)
    } else {
        draft
    }
}

/// The value that an operand is, or is a part of.
fn value_of(operand: Operand) -> Option<Value> {
    match operand {
        Operand::Value(value) | Operand::Part { value, .. } => Some(value),
        _ => None,
    }
}

/// The operand with another value in place of its own.
fn with_value(operand: Operand, value: Value) -> Operand {
    match operand {
        Operand::Value(_) => Operand::Value(value),
        Operand::Part { offset, len, .. } => Operand::Part { value, offset, len },
        other => other,
    }
}

/// The operands of a dispatch that it touches, with what it does to them.
fn touched(step: &Step) -> impl Iterator<Item = (Operand, Access)> + '_ {
    let bindings = step.operands.iter().zip(&step.call.extents);
    bindings
        .filter(|(_, extent)| extent.bytes > 0)
        .map(|(operand, extent)| (*operand, extent.access))
}

/// The values that a dispatch writes.
fn written(step: &Step) -> impl Iterator<Item = Value> + '_ {
    touched(step)
        .filter(|(_, access)| *access != Access::Read)
        .filter_map(|(operand, _)| value_of(operand))
}

/// Which dispatches write and read each value, in order.
struct Uses {
    writers: Vec<Vec<usize>>,
    readers: Vec<Vec<usize>>,
}

impl Uses {
    fn of(draft: &Draft) -> Self {
        let none = vec![Vec::new(); draft.values.len()];
        let mut uses = Self {
            writers: none.clone(),
            readers: none,
        };
        for (index, step) in draft.steps.iter().enumerate() {
            for (operand, access) in touched(step) {
                let Some(value) = value_of(operand) else {
                    continue;
                };
                if access != Access::Read {
                    uses.writers[value.index()].push(index);
                }
                if access != Access::Write {
                    uses.readers[value.index()].push(index);
                }
            }
        }
        uses
    }

    /// Whether a dispatch could run again anywhere behind itself: a cheap one, of inputs that nothing changes any more, into values
    /// that nothing else writes and the host does not read.
    fn is_repeatable(&self, draft: &Draft, index: usize, outputs: &[Value]) -> bool {
        let step = &draft.steps[index];
        let fits = |(operand, access): (Operand, Access)| {
            let Some(value) = value_of(operand) else {
                return matches!(operand, Operand::Constant(_));
            };
            let place = draft.values[value.index()].place;
            let writers = &self.writers[value.index()];
            match access {
                Access::Read => {
                    matches!(place, Place::Arena | Place::Input)
                        && writers.iter().all(|&writer| writer < index)
                }
                Access::Write => {
                    place == Place::Arena && writers == &[index] && !outputs.contains(&value)
                }
                Access::Update => false,
            }
        };
        CHEAP.contains(&step.call.shader.name) && touched(step).all(fits)
    }

    /// The dispatches between which a value lies idle after it was read for the first time: from behind the first to before the
    /// second of each pair.
    fn gaps(&self, value: Value) -> impl Iterator<Item = (usize, usize)> + '_ {
        let readers = &self.readers[value.index()];
        readers.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Whether a value that a dispatch writes lies idle across the turn.
    fn is_idle(&self, step: &Step, turn: usize) -> bool {
        let across = |(last, next)| last < turn && turn < next;
        written(step).any(|value| self.gaps(value).any(across))
    }

    /// The dispatch across which the most bytes of what the candidates write lie idle; none where nothing does.
    fn turn(&self, draft: &Draft, candidates: &[usize]) -> Option<usize> {
        let mut idle = vec![0; draft.steps.len()];
        for value in candidates.iter().flat_map(|&it| written(&draft.steps[it])) {
            for (last, next) in self.gaps(value) {
                for bytes in &mut idle[last + 1..next] {
                    *bytes += draft.values[value.index()].bytes();
                }
            }
        }
        let most = idle.iter().copied().max().filter(|most| *most > 0)?;
        idle.iter().position(|bytes| *bytes == most)
    }
}

/// The draft with the chosen dispatches run again for what reads their values behind the turn.
fn repeated(draft: &Draft, uses: &Uses, chosen: &[bool], turn: usize) -> Draft {
    let mut rewriting = Rewriting {
        draft,
        uses,
        chosen,
        again: HashMap::new(),
        lower: Draft {
            values: draft.values.clone(),
            scratch: draft.scratch.clone(),
            steps: draft.steps[..=turn].to_vec(),
            recomputed: 0,
        },
    };
    for step in &draft.steps[turn + 1..] {
        rewriting.push(step);
    }
    rewriting.lower
}

struct Rewriting<'a> {
    draft: &'a Draft,
    uses: &'a Uses,
    chosen: &'a [bool],
    /// What stands for a value that was dropped.
    again: HashMap<Value, Value>,
    lower: Draft,
}

impl Rewriting<'_> {
    /// Appends a dispatch behind those that make its dropped inputs again.
    fn push(&mut self, step: &Step) {
        let mut step = step.clone();
        let access: Vec<_> = step.call.extents.iter().map(|it| it.access).collect();
        for (operand, access) in step.operands.iter_mut().zip(access) {
            if let Some(value) = value_of(*operand).filter(|_| access != Access::Write) {
                self.make(value);
            }
            if let Some(again) = value_of(*operand).and_then(|it| self.again.get(&it)) {
                *operand = with_value(*operand, *again);
            }
        }
        self.lower.steps.push(step);
    }

    /// Makes a value again where it was dropped and not yet made.
    fn make(&mut self, value: Value) {
        let Some(&maker) = self.uses.writers[value.index()].first() else {
            return;
        };
        if !self.chosen[maker] || self.again.contains_key(&value) {
            return;
        }
        let mut step = self.draft.steps[maker].clone();
        for operand in &mut step.operands {
            // No two bindings of a dispatch may share bytes, touched or not, and a temporary lives within its node.
            if let Operand::Scratch(number) = operand {
                self.lower.scratch.push(self.draft.scratch[*number]);
                *operand = Operand::Scratch(self.lower.scratch.len() - 1);
            }
        }
        let outputs: Vec<Value> = written(&step).collect();
        let inputs = touched(&step).filter(|(_, access)| *access == Access::Read);
        let inputs: Vec<Value> = inputs.filter_map(|(it, _)| value_of(it)).collect();
        for input in inputs {
            self.make(input);
        }
        for output in outputs {
            // As many as the graph's values and fewer again.
            let again = Value(self.lower.values.len() as u32);
            let info = self.draft.values[output.index()].clone();
            self.lower.values.push(info);
            self.again.insert(output, again);
        }
        self.push(&step);
        self.lower.recomputed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheap_kernels_exist() {
        let kernels = crate::kernels::all();
        for name in CHEAP {
            let known = kernels.iter().any(|kernel| kernel.shader.name == name);
            assert!(known, "{name}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for memory in [Memory::Fast, Memory::Low] {
            assert_eq!(Memory::named(memory.name()), Some(memory));
        }
        assert_eq!(Memory::named("lower"), None);
    }
}
