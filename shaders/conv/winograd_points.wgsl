// winograd_points: what the transforms by Winograd's F(4×4, 3×3) share: the points 0, ±NEAR, ±FAR and ∞ of the method.
// Layout: none of its own.
// Work:   none of its own.
// Needs:  default limits.

const NEAR: f32 = 0.70710678118654752; // √½
const FAR: f32 = 1.4142135623730950; // √2
