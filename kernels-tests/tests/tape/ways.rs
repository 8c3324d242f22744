//! The ways that convolutions are computed.

use super::{Block, assert_close, drawn, recorded, run, target};
use kinesic::kernels::conv::{Measured, Tile, Way, Ways};
use kinesic::nn::Conv2d;
use kinesic::tape::{Graph, Recording, Shape, Target};

/// The shaders of the convolutions in these ways, with their variants.
fn convolutions(target: &Target) -> Vec<(&'static str, String)> {
    let Block {
        graph, y, grad_x, ..
    } = recorded();
    let recording = Recording::new(graph, &[y, grad_x], target).unwrap();
    let steps = recording.steps.iter();
    let steps = steps.filter(|step| step.convolution.is_some());
    steps
        .map(|step| (step.call.shader.name, step.call.variant.to_string()))
        .collect()
}

#[test]
fn every_way_is_taken_and_agrees_with_the_twins_own_choice() {
    let problem = drawn();
    let base = Target {
        software: false,
        ..target(true)
    };
    let own = run(&problem, &base);
    for tile in Tile::ALL {
        let target = base.clone().in_ways(Ways::everywhere(Way::Tile(tile)));
        for (shader, variant) in convolutions(&target) {
            let short = [("tall0", tile.tall), ("wide0", tile.wide)];
            for (name, long) in short.into_iter().filter(|_| shader != "sum_groups") {
                assert_eq!(variant.contains(name), !long, "{shader}, {variant}");
            }
        }
        // The kernels' own tests run every tile; a software adapter compiles one for seconds.
        if tile == Tile::ALL[1] {
            assert_close(&format!("{tile:?}"), 1e-5, &run(&problem, &target), &own);
        }
    }
    let own_target = target(true);
    if !own_target.software {
        return;
    }
    let own = run(&problem, &own_target);
    for (way, taken) in [(Way::Winograd, true), (Way::Direct, false)] {
        let target = own_target.clone().in_ways(Ways::everywhere(way));
        let mut shaders = convolutions(&target).into_iter();
        assert_eq!(shaders.any(|(it, _)| it.contains("winograd")), taken);
        // Winograd's method amplifies roundings; see its own test.
        assert_close(&format!("{way}"), 1e-3, &run(&problem, &target), &own);
    }
}

#[test]
fn a_way_is_that_of_its_problem_alone() {
    let plain = Target::unlimited();
    let way = Way::Tile(Tile::ALL[0]);
    let problem = {
        let Block {
            graph, y, grad_x, ..
        } = recorded();
        let recording = Recording::new(graph, &[y, grad_x], &plain).unwrap();
        recording.steps.iter().find_map(|step| step.convolution)
    };
    let line = Measured {
        problem: problem.unwrap(),
        way: Some(way),
        ms: 1.0,
        own_ms: 2.0,
    };
    let tuned = convolutions(&plain.clone().in_ways(Ways::of(&[line])));
    let own = convolutions(&plain);
    assert_eq!(tuned.len(), own.len());
    let changed = tuned.iter().zip(&own).filter(|(a, b)| a != b).count();
    assert!((1..own.len()).contains(&changed), "{changed} of {own:?}");
}

/// The kernels of a plan for the gradient of a convolution's filters.
fn filter_gradient_kernels(c: usize, k: usize) -> Vec<&'static str> {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[2, 48, 48, c]));
    let y = Conv2d::same(k, 3, 1).record(&mut graph, "conv", x).unwrap();
    let grad_y = graph.input("grad_y", graph.shape(y).clone());
    let wrt = graph.parameter_values();
    let grads = graph.gradients(&[(y, grad_y)], &wrt).unwrap();
    graph.keep_gradients(&grads);
    let recording = Recording::new(graph, &[], &Target::unlimited()).unwrap();
    recording.steps.iter().map(|s| s.call.shader.name).collect()
}

#[test]
fn the_gradient_of_many_filters_needs_no_second_stage() {
    let both = ["conv2d_grad_weight", "sum_groups"];
    assert_eq!(filter_gradient_kernels(4, 4), both);
    assert_eq!(filter_gradient_kernels(1024, 512), both[..1]);
}
