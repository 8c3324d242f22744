//! Reads a disassembly: which loop does the work, and how much of it is multiply-adds.

use serde::{Deserialize, Serialize};

/// What an instruction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    MultiplyAdd,
    OtherVector,
    Memory,
    WorkgroupMemory,
    Scalar,
    Wait,
}

/// A loop's instructions by what they are for. A dual instruction counts as its two halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// All of them.
    pub instructions: usize,
    /// Floating-point multiply-adds, packed ones and dot products counted as one.
    pub multiply_adds: usize,
    /// Other arithmetic on vector registers.
    pub vector: usize,
    /// Loads and stores of buffers and scratch.
    pub memory: usize,
    /// Loads and stores of workgroup memory, and what permutes lanes through it.
    pub workgroup_memory: usize,
    /// Scalar arithmetic, scalar loads and branches.
    pub scalar: usize,
    /// What occupies no unit: waits and hints to the scheduler.
    pub waits: usize,
}

impl Loop {
    /// Multiply-adds among all instructions, 0 to 1.
    pub fn share(&self) -> f64 {
        ratio(self.multiply_adds, self.instructions)
    }

    /// Multiply-adds among the instructions that occupy a unit: without waits and hints.
    pub fn busy_share(&self) -> f64 {
        ratio(self.multiply_adds, self.instructions - self.waits)
    }

    fn of(lines: &[&str]) -> Self {
        let mut sum = Self::default();
        for kind in lines.iter().flat_map(|line| kinds(line)) {
            sum.instructions += 1;
            *match kind {
                Kind::MultiplyAdd => &mut sum.multiply_adds,
                Kind::OtherVector => &mut sum.vector,
                Kind::Memory => &mut sum.memory,
                Kind::WorkgroupMemory => &mut sum.workgroup_memory,
                Kind::Scalar => &mut sum.scalar,
                Kind::Wait => &mut sum.waits,
            } += 1;
        }
        sum
    }
}

#[allow(clippy::cast_precision_loss)] // a shader has some thousand instructions
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The loop without loops in it that has the most multiply-adds; none where the shader has no loop.
///
/// A loop is what lies between a label and the last branch back to it.
pub fn inner_loop(text: &str) -> Option<Loop> {
    let lines: Vec<_> = text.lines().map(code).collect();
    let loops = loops(&lines);
    let innermost = loops.iter().filter(|(start, end)| {
        let inside = |(a, b): &(usize, usize)| (a, b) != (start, end) && a >= start && b <= end;
        !loops.iter().any(inside)
    });
    innermost
        .map(|&(start, end)| Loop::of(&lines[start..=end]))
        .max_by_key(|it| it.multiply_adds)
}

/// The lines from each label to the last branch back to it.
fn loops(lines: &[&str]) -> Vec<(usize, usize)> {
    let labels = lines.iter().enumerate();
    labels
        .filter_map(|(start, line)| {
            let label = line.strip_suffix(':')?;
            let end = (start..lines.len()).rev().find(|&at| {
                let mut words = lines[at].split_whitespace();
                let mnemonic = words.next().unwrap_or_default();
                is_branch(mnemonic) && words.next() == Some(label)
            })?;
            Some((start, end))
        })
        .collect()
}

fn is_branch(mnemonic: &str) -> bool {
    mnemonic == "s_branch" || mnemonic.starts_with("s_cbranch_")
}

/// A line without its comment and indentation.
fn code(line: &str) -> &str {
    line.split(';').next().unwrap_or_default().trim()
}

/// What a line's instructions are for: none for a label, two for a dual instruction.
fn kinds(line: &str) -> Vec<Kind> {
    if line.is_empty() || line.ends_with(':') {
        return Vec::new();
    }
    let halves = line.split("::");
    halves.map(instruction).collect()
}

fn instruction(text: &str) -> Kind {
    let (mnemonic, operands) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    // The mixed-precision multiply-add also stands in for conversions, products and sums of f16.
    let trivial = |it: &str| matches!(it, "0" | "neg(0)" | "1.0" | "neg(1.0)" | "-1.0");
    let mut sources = operands
        .split(", ")
        .filter_map(|it| it.split_whitespace().next());
    match kind(mnemonic) {
        Kind::MultiplyAdd if sources.any(trivial) => Kind::OtherVector,
        kind => kind,
    }
}

fn kind(mnemonic: &str) -> Kind {
    const WAITS: [&str; 7] = [
        "s_waitcnt",
        "s_wait_",
        "s_nop",
        "s_delay_alu",
        "s_clause",
        "s_inst_prefetch",
        "s_set_inst_prefetch",
    ];
    const MULTIPLY_ADDS: [&str; 6] = [
        "v_fma",
        "v_pk_fma",
        "v_dual_fma",
        "v_mac_",
        "v_dot2",
        "v_wmma",
    ];
    let begins = |with: &[&str]| with.iter().any(|it| mnemonic.starts_with(it));
    if begins(&WAITS) {
        Kind::Wait
    } else if begins(&MULTIPLY_ADDS) || begins(&["v_dual_dot2", "v_mad_f", "v_mad_mix", "v_pk_mac"])
    {
        Kind::MultiplyAdd
    } else if begins(&["v_"]) {
        Kind::OtherVector
    } else if begins(&["ds_", "lds_"]) {
        Kind::WorkgroupMemory
    } else if begins(&["s_"]) {
        Kind::Scalar
    } else {
        Kind::Memory // buffer_, global_, flat_, scratch_, image_
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = "\
BB0:
\ts_mov_b32 s0, s3                  ; be800003
\tv_fma_f32 v9, v1, v2, v3          ; before any loop
BB1:
\ts_cbranch_scc1 BB5                ; bfa2008e
BB2:
\tbuffer_load_b128 v[0:3], v8, s[0:3], 0 offen
\ts_waitcnt vmcnt(0)
\tv_fmac_f32_e32 v4, v0, v1
\tv_pk_fma_f16 v5, v0, v1, v5
\tv_dual_fmac_f32 v6, v0, v1 :: v_dual_mov_b32 v7, v2
\tv_dual_fmac_f32 v6, v0, v1 :: v_dual_fmac_f32 v7, v2, v3
\tds_load_b32 v1, v2
\tv_mad_u32_u24 v1, v2, v3, v4      ; an address, not a product
\ts_cbranch_scc0 BB2
BB3:
\tv_fma_f32 v9, v1, v2, v3
\tv_fma_f32 v9, v1, v2, v3
\tv_fma_f32 v9, v1, v2, v3
\tv_fma_f32 v9, v1, v2, v3
\tv_fma_f32 v9, v1, v2, v3
\tv_fma_f32 v9, v1, v2, v3
\ts_branch BB1
BB5:
\ts_endpgm
";

    #[test]
    fn the_inner_loop_is_counted_and_not_what_surrounds_it() {
        let found = inner_loop(NESTED).unwrap();
        let expected = Loop {
            instructions: 11,
            multiply_adds: 5,
            vector: 2,
            memory: 1,
            workgroup_memory: 1,
            scalar: 1,
            waits: 1,
        };
        assert_eq!(found, expected);
        assert_eq!(found.share(), 5.0 / 11.0);
        assert_eq!(found.busy_share(), 0.5);
    }

    #[test]
    fn a_product_in_a_multiply_adds_clothes_is_none() {
        let mixed = "A:\n v_fma_mix_f32 v1, v2, v3, neg(0) op_sel_hi:[1,0,0]\n v_fma_mix_f32 v1, v2, v3, v1 op_sel_hi:[1,0,0]\n \
                     v_fma_f32 v1, v2, 1.0, v3\n s_branch A\n";
        let found = inner_loop(mixed).unwrap();
        assert_eq!((found.multiply_adds, found.vector), (1, 2));
    }

    #[test]
    fn of_two_inner_loops_the_one_with_more_multiply_adds_counts() {
        let two = "A:\n v_add_f32 v0, v0, v0\n v_add_f32 v0, v0, v0\n s_branch A\nB:\n v_fma_f32 v0\n s_branch B\n";
        assert_eq!(inner_loop(two).unwrap().multiply_adds, 1);
        assert_eq!(inner_loop(two).unwrap().instructions, 2);
    }

    #[test]
    fn a_loop_reaches_to_the_last_branch_back() {
        let twice =
            "A:\n v_fma_f32 v0\n s_cbranch_scc0 A\nB:\n v_fma_f32 v0\n s_branch A\nC:\n s_endpgm\n";
        assert_eq!(inner_loop(twice).unwrap().multiply_adds, 2);
    }

    #[test]
    fn forward_branches_make_no_loop() {
        assert_eq!(inner_loop("A:\n s_branch B\nB:\n s_endpgm\n"), None);
        // A label that another one begins with.
        assert_eq!(
            inner_loop("BB1:\n s_nop 0\nBB2:\n s_branch BB11\nBB11:\n s_endpgm\n"),
            None
        );
    }
}
