use kernels_tests::random::{Draw, check_gradient, uniform, uniforms};

/// Values that `reference.py` of the golden files prints.
#[test]
fn repeats_the_generator_of_the_golden_files() {
    let values = uniforms("head.expression", 4, 1);
    assert_eq!(values, UNIFORM_HEAD_EXPRESSION);
    assert_eq!(uniform("head.expression", 3, 1), values[3]);
    assert_ne!(uniform("head.expression", 0, 2), values[0]);
}

#[test]
fn draws_within_the_bounds_asked_for() {
    let mut draw = Draw::new("bounds", 1);
    let drawn: Vec<usize> = (0..1000).map(|_| draw.int(3..=5)).collect();
    for value in 3..=5 {
        let share = drawn.iter().filter(|&&v| v == value).count();
        assert!((250..420).contains(&share), "{value}: {share} of 1000");
    }
    assert!(drawn.iter().all(|value| (3..=5).contains(value)));
    let hits = (0..1000).filter(|_| draw.chance(0.25)).count();
    assert!((190..310).contains(&hits), "{hits} of 1000");
    for value in draw.tensor(1000, 0.3) {
        assert!((-0.3..=0.3).contains(&value));
        assert_eq!(f64::from(value as f32), value);
    }
}

#[test]
fn keeps_values_apart_from_each_other_and_from_zero() {
    for len in [1, 2, 7, 64] {
        let mut values = Draw::new("apart", len as u64).apart(len, 0.25);
        assert!(values.iter().all(|value| value.abs() >= 0.125));
        values.sort_by(f64::total_cmp);
        assert!(values.windows(2).all(|pair| pair[1] - pair[0] >= 0.25));
    }
}

/// y = (x₀² x₁, sin x₁) with upstream (2, 3): the gradient is (4 x₀ x₁, 2 x₀² + 3 cos x₁).
fn check_of_a_known_function(gradient: impl Fn(f64, f64) -> [f64; 2]) {
    let f = |x: &[f64]| vec![x[0] * x[0] * x[1], x[1].sin()];
    let (a, b) = (0.7, -1.3);
    check_gradient("known", &[a, b], &gradient(a, b), &[2.0, 3.0], f);
}

#[test]
fn finite_differences_accept_a_right_gradient() {
    check_of_a_known_function(|a, b| [4.0 * a * b, 2.0 * a * a + 3.0 * b.cos()]);
}

#[test]
#[should_panic(expected = "element 1 of 2")]
fn finite_differences_reject_a_gradient_off_by_one_in_a_million() {
    check_of_a_known_function(|a, b| [4.0 * a * b, (2.0 * a * a + 3.0 * b.cos()) * 1.000_001]);
}

#[test]
#[should_panic(expected = "the formula gives NaN")]
fn finite_differences_reject_nan() {
    check_of_a_known_function(|_, b| [f64::NAN, b]);
}

const UNIFORM_HEAD_EXPRESSION: [f64; 4] = [
    0.6220030784606934,
    -0.43858814239501953,
    -0.9984712600708008,
    0.4709017276763916,
];
