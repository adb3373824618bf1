//! Random numbers from a seed: the same on every machine.

/// Xoshiro256++ of Blackman and Vigna, seeded by splitmix64.
#[derive(Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    pub fn seeded(seed: u64) -> Random {
        let mut last = seed;
        let state = std::array::from_fn(|_| {
            last = last.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = last;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Random { state }
    }

    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// In (0, 1).
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A whole number in a range.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.unit() * (to - from) as f64) as i64
    }

    /// Box and Muller.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Mean one and this coefficient of variation: Marsaglia and Tsang.
    pub fn gamma_around_one(&mut self, variation: f64) -> f64 {
        let shape = 1.0 / (variation * variation);
        assert!(shape >= 1.0, "the method is for a coefficient of variation up to one");
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v / shape;
            }
        }
    }

    /// Knuth's product of uniforms, in portions that do not underflow.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        let mut count = 0;
        let mut left = mean;
        while left > 0.0 {
            let end = (-left.min(20.0)).exp();
            left -= 20.0;
            let mut product = self.unit();
            while product > end {
                count += 1;
                product *= self.unit();
            }
        }
        count
    }
}
