//! The figures as text.

use crate::family::{Answer, FAMILIES};
use std::fmt::Write as _;

/// A line a shader and family.
pub fn table(mesa: &str, answers: &[Answer]) -> String {
    let mut text = format!(
        "{mesa}\n{:6} {:30} {:46} {:>5} {:>5} {:>7} {:>6} {:>4} {:>6} {:>8} {:>8}\n",
        "family",
        "kernel",
        "variant",
        "VGPRs",
        "SGPRs",
        "spilled",
        "LDS",
        "subg",
        "instr",
        "latency",
        "inv.thr."
    );
    for Answer { record, .. } in answers {
        let it = &record.statistics;
        let spilled = format!("{}+{}", it.spilled_vgprs, it.spilled_sgprs);
        let _ = writeln!(
            text,
            "{:6} {:30} {:46} {:5} {:5} {spilled:>7} {:6} {:4} {:6} {:8} {:8}",
            record.family,
            record.kernel,
            record.variant,
            it.vgprs,
            it.sgprs,
            it.lds,
            it.subgroups,
            it.instructions,
            it.latency,
            it.inverse_throughput
        );
    }
    text
}

/// The parts of a variant's name that change how much work an inner loop does: precision, tile, whether a window is a point, and whether the input is normalised on load.
fn size(variant: &str) -> Vec<&str> {
    let named = ["f16", "tall", "wide", "point", "normalised"];
    let parts = variant.split('_');
    parts
        .filter(|part| named.iter().any(|name| part.starts_with(name)))
        .collect()
}

/// The inner loops of the matrix products: for each kernel, precision, tile and family the variant whose share is least.
pub fn loops(answers: &[Answer]) -> String {
    let mut text = String::new();
    let mut groups: Vec<(&str, &str, Vec<&str>, Vec<&Answer>)> = Vec::new();
    for answer in answers.iter().filter(|it| it.inner_loop.is_some()) {
        let (family, kernel) = (answer.record.family, &*answer.record.kernel);
        let size = size(&answer.record.variant);
        let group = groups
            .iter_mut()
            .find(|it| (it.0, it.1, &it.2) == (family, kernel, &size));
        match group {
            Some(group) => group.3.push(answer),
            None => groups.push((family, kernel, size, vec![answer])),
        }
    }
    for (family, kernel, _, members) in groups {
        let least = members
            .into_iter()
            .filter_map(|it| Some((it, it.inner_loop?)));
        let least = least.min_by(|(_, a), (_, b)| a.share().total_cmp(&b.share()));
        let Some((answer, it)) = least else { continue };
        let _ = writeln!(
            text,
            "inner loop, {family} {kernel}/{}: {} of {} instructions are multiply-adds, {:.1} % ({:.1} % without the {} waits and \
             hints; {} other vector, {} memory, {} workgroup memory, {} scalar)",
            answer.record.variant,
            it.multiply_adds,
            it.instructions,
            100.0 * it.share(),
            100.0 * it.busy_share(),
            it.waits,
            it.vector,
            it.memory,
            it.workgroup_memory,
            it.scalar
        );
    }
    text
}

/// For each family: how many shaders, how many of them spill, and who needs the most registers.
pub fn worst(mesa: &str, answers: &[Answer]) -> String {
    let mut text = String::new();
    for family in FAMILIES {
        let of_family = answers.iter().map(|it| &it.record);
        let of_family: Vec<_> = of_family.filter(|it| it.family == family.name).collect();
        let most = of_family.iter().filter(|it| !it.software);
        let Some(most) = most.max_by_key(|it| it.statistics.vgprs) else {
            continue;
        };
        let spill = of_family.iter().filter(|it| it.statistics.spilled() > 0);
        let _ = writeln!(
            text,
            "{} ({mesa}): {} variants, {} spill, at most {} VGPRs on a GPU ({}/{})",
            family.name,
            of_family.len(),
            spill.count(),
            most.statistics.vgprs,
            most.kernel,
            most.variant
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Record;
    use crate::disassembly::Loop;
    use crate::statistics::Statistics;

    fn answer(variant: &str, multiply_adds: usize, software: bool) -> Answer {
        Answer {
            record: Record {
                family: "rdna3",
                kernel: "gemm".into(),
                variant: variant.into(),
                software,
                statistics: Statistics::from_row([multiply_adds as u64, 0, 1, 2, 0, 0, 0, 0, 777]),
            },
            inner_loop: Some(Loop {
                instructions: 100,
                multiply_adds,
                waits: 20,
                ..Default::default()
            }),
            disassembly: None,
        }
    }

    #[test]
    fn a_shader_has_a_line_and_its_spills_show() {
        let text = table("Mesa 25", &[answer("base", 90, false)]);
        assert_eq!(text.lines().count(), 3);
        let line = text.lines().last().unwrap();
        assert!(line.contains(" 1+2 ") && line.ends_with(" 777"), "{line}");
    }

    #[test]
    fn the_least_share_of_each_precision_and_tile_is_told() {
        let shares = [
            ("base", 70),
            ("relu1", 60),
            ("f16", 50),
            ("wide0", 40),
            ("f16_relu1_wide0", 30),
        ];
        let text = loops(&shares.map(|(it, n)| answer(it, n, false)));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.contains("gemm/relu1: 60 of 100 instructions are multiply-adds, 60.0 % (75.0 %"),
            "{text}"
        );
        assert!(text.contains("gemm/f16: 50"), "{text}");
    }

    #[test]
    fn the_summary_counts_spills_and_leaves_software_out_of_the_most_registers() {
        let text = worst(
            "Mesa 25",
            &[answer("base", 70, false), answer("wide", 90, true)],
        );
        assert!(
            text.contains("rdna3 (Mesa 25): 2 variants, 2 spill, at most 70 VGPRs"),
            "{text}"
        );
    }
}
