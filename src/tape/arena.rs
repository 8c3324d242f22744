//! Lifetimes turned into offsets in few large buffers.

use super::Value;
use super::dispatch::{Operand, Step};
use super::graph::{Info, Place};
use std::collections::HashMap;

/// Offsets are multiples of 256 bytes, the largest offset alignment of WebGPU.
const ALIGN: u64 = 256;

/// A place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which of the arena's buffers.
    pub buffer: usize,
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub size: u64,
}

/// The arena's layout: operands whose lifetimes do not meet share bytes.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    /// The sizes of its buffers in bytes.
    pub buffers: Vec<u64>,
    /// Where each operand lies.
    pub ranges: HashMap<Operand, Range>,
}

impl Arena {
    /// The bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }
}

#[derive(Clone, Copy, Debug)]
struct Life {
    operand: Operand,
    size: u64,
    first: usize,
    last: usize,
}

/// Lays out every arena value and scratch that the steps use, largest first, each at the lowest offset that is free for
/// its whole life; a new buffer is opened where `max_buffer` is reached. What the first `prepared` steps touch, which run once,
/// is kept for ever.
pub(super) fn plan(
    values: &[Info],
    scratch: &[usize],
    steps: &[Step],
    prepared: usize,
    outputs: &[Value],
    max_buffer: u64,
) -> Arena {
    let mut lives = lifetimes(values, scratch, steps, outputs);
    for life in &mut lives {
        if life.first < prepared {
            life.last = steps.len();
        }
    }
    lives.sort_by_key(|life| (std::cmp::Reverse(life.size), life.first));
    let mut arena = Arena::default();
    let mut placed: Vec<(Life, Range)> = Vec::new();
    for life in lives {
        let range = (0..=arena.buffers.len())
            .find_map(|buffer| {
                let offset = lowest_offset(&placed, &life, buffer);
                let fits = offset + life.size <= max_buffer
                    || (offset == 0 && buffer == arena.buffers.len());
                fits.then_some(Range {
                    buffer,
                    offset,
                    size: life.size,
                })
            })
            .unwrap_or(Range {
                buffer: arena.buffers.len(),
                offset: 0,
                size: life.size,
            });
        if range.buffer == arena.buffers.len() {
            arena.buffers.push(0);
        }
        let end = range.offset + range.size;
        arena.buffers[range.buffer] = arena.buffers[range.buffer].max(end);
        arena.ranges.insert(life.operand, range);
        placed.push((life, range));
    }
    arena
}

/// The lowest aligned offset in `buffer` that no operand alive at the same time covers.
fn lowest_offset(placed: &[(Life, Range)], life: &Life, buffer: usize) -> u64 {
    let mut taken: Vec<_> = placed
        .iter()
        .filter(|(other, range)| {
            range.buffer == buffer && other.first <= life.last && life.first <= other.last
        })
        .map(|(_, range)| (range.offset, range.offset + range.size))
        .collect();
    taken.sort_unstable();
    let mut offset = 0;
    for (start, end) in taken {
        if offset + life.size <= start {
            break;
        }
        offset = offset.max(end);
    }
    offset
}

fn lifetimes(values: &[Info], scratch: &[usize], steps: &[Step], outputs: &[Value]) -> Vec<Life> {
    let mut order: Vec<Operand> = Vec::new();
    let mut lives: HashMap<Operand, Life> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        for &operand in &step.operands {
            // A part keeps the whole alive.
            let operand = match operand {
                Operand::Part { value, .. } => Operand::Value(value),
                whole => whole,
            };
            let bytes = match operand {
                Operand::Value(value) if values[value.index()].place == Place::Arena => {
                    values[value.index()].bytes()
                }
                Operand::Scratch(number) => 4 * scratch[number] as u64,
                _ => continue,
            };
            let life = lives.entry(operand).or_insert_with(|| {
                order.push(operand);
                Life {
                    operand,
                    size: bytes.next_multiple_of(ALIGN),
                    first: index,
                    last: index,
                }
            });
            life.last = index;
        }
    }
    for output in outputs {
        if let Some(life) = lives.get_mut(&Operand::Value(*output)) {
            life.last = steps.len();
        }
    }
    // In order of first use, so that the layout does not depend on a hash.
    order.iter().map(|operand| lives[operand]).collect()
}
