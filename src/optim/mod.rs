//! Learning-rate schedules and what they feed to the optimiser's kernels.

use std::f64::consts::PI;

pub use crate::kernels::optim::Optimizer;

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// It falls to a tenth at 60 % and again at 85 % of the run.
    Step,
    /// Half a cosine, down to 0 at the end.
    #[default]
    Cosine,
}

/// The learning rate of every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest learning rate.
    pub base: f64,
    /// Steps in which it rises to `base` in equal parts.
    pub warmup: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// How it falls afterwards.
    pub decay: Decay,
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0. A pure function, so that a resumed run goes on exactly.
    #[allow(clippy::cast_precision_loss)] // steps are far below 2^53
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.base * (step + 1) as f64 / self.warmup as f64;
        }
        let rest = self.total.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / rest).min(1.0);
        let factor = match self.decay {
            Decay::Constant => 1.0,
            Decay::Step if done >= 0.85 => 0.01,
            Decay::Step if done >= 0.6 => 0.1,
            Decay::Step => 1.0,
            Decay::Cosine => 0.5 * (1.0 + (PI * done).cos()),
        };
        self.base * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule {
            base: 1.0,
            warmup: 4,
            total: 104,
            decay,
        }
    }

    #[test]
    fn warms_up_in_equal_parts() {
        let schedule = schedule(Decay::Constant);
        let rates: Vec<f64> = (0..6).map(|step| schedule.at(step)).collect();
        assert_eq!(rates, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_cosine_is_half_way_down_in_the_middle_and_zero_at_the_end() {
        let schedule = schedule(Decay::Cosine);
        assert!((schedule.at(54) - 0.5).abs() < 1e-12);
        assert!(schedule.at(104).abs() < 1e-12);
        assert!(schedule.at(1000).abs() < 1e-12);
    }

    #[test]
    fn steps_fall_to_a_tenth_twice() {
        let schedule = schedule(Decay::Step);
        let rates = [63, 64, 88, 89].map(|step| schedule.at(step));
        assert_eq!(rates, [1.0, 0.1, 0.1, 0.01]);
    }
}
