//! The ground truth: two-dimensional vorticity with Smagorinsky's eddy viscosity, spectral derivatives, Heun's method.

use super::fft::{Complex, Fft2, derivative_wavenumber, wavenumber};
use super::random::Mt19937;
use super::structure::smooth;
use super::{VorticityError, check_size, error::check_finite};
use std::f64::consts::PI;

/// The width of the box filter that makes noise an initial field.
const INITIAL_SMOOTH: usize = 11;
/// What a field that is not finite means.
pub(super) const DIVERGED: &str = "the flow diverged; take a smaller dt";

/// What a flow is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowConfig {
    /// Cells a side.
    pub n: usize,
    /// Time step.
    pub dt: f64,
    /// Viscosity of the fluid.
    pub nu0: f64,
    /// Smagorinsky's constant.
    pub cs: f64,
}

impl FlowConfig {
    /// Refuses what cannot be computed with.
    ///
    /// # Errors
    /// A size out of range, a time step that is not positive, a viscosity or constant that is negative or not finite.
    pub fn check(&self) -> Result<(), VorticityError> {
        check_size(self.n)?;
        let wrong = |what: &str, found: f64, expected: &str| {
            Err(VorticityError::Invalid(format!("{what} is {found}, expected {expected}")))
        };
        match *self {
            Self { dt, .. } if !(dt.is_finite() && dt > 0.0) => wrong("dt", dt, "above 0"),
            Self { nu0, .. } if !(nu0.is_finite() && nu0 >= 0.0) => wrong("nu0", nu0, "0 or above"),
            Self { cs, .. } if !(cs.is_finite() && cs >= 0.0) => wrong("Cs", cs, "0 or above"),
            _ => Ok(()),
        }
    }
}

/// Smoothed noise of mean 0 and deviation 1 from `numpy.random.seed(seed)`: the earlier program's initial field.
pub fn initial_field(n: usize, seed: u32) -> Vec<f64> {
    let mut random = Mt19937::new(seed);
    let noise: Vec<f64> = (0..n * n).map(|_| random.normal()).collect();
    let mut field = smooth(&noise, n, INITIAL_SMOOTH);
    let mean = field.iter().sum::<f64>() / field.len() as f64;
    field.iter_mut().for_each(|value| *value -= mean);
    let deviation = (field.iter().map(|value| value * value).sum::<f64>() / field.len() as f64).sqrt();
    field.iter_mut().for_each(|value| *value /= deviation + 1e-12);
    field
}

/// A flow in f64 on the CPU.
pub struct Flow {
    config: FlowConfig,
    fft: Fft2,
}

impl Flow {
    /// A flow of this configuration.
    ///
    /// # Errors
    /// As [`FlowConfig::check`].
    pub fn new(config: FlowConfig) -> Result<Self, VorticityError> {
        config.check()?;
        Ok(Self { config, fft: Fft2::new(config.n) })
    }

    /// The field one time step later. The eddy viscosity stays what it is at the beginning of the step.
    ///
    /// # Errors
    /// A field that is or becomes infinite: the time step is too long for it.
    pub fn step(&self, omega: &[f64]) -> Result<Vec<f64>, VorticityError> {
        let FlowConfig { dt, nu0, .. } = self.config;
        let hat = self.fft.forward(omega);
        let viscosity: Vec<f64> = self.eddy_viscosity(&hat).into_iter().map(|eddy| nu0 + eddy).collect();
        let k1 = self.tendency(&hat, &viscosity);
        let ahead: Vec<f64> = omega.iter().zip(&k1).map(|(w, k)| w + dt * k).collect();
        let k2 = self.tendency(&self.fft.forward(&ahead), &viscosity);
        let next = omega.iter().zip(k1.iter().zip(&k2)).map(|(w, (k1, k2))| w + dt / 2.0 * (k1 + k2));
        let next: Vec<f64> = next.collect();
        check_finite(DIVERGED, &next)?;
        Ok(next)
    }

    /// Energy mean(u² + v²)/2 and enstrophy mean(ω²)/2.
    pub fn energy_and_enstrophy(&self, omega: &[f64]) -> (f64, f64) {
        let (u, v) = self.velocity(&self.fft.forward(omega));
        let half_mean = |sum: f64| sum / (2 * omega.len()) as f64;
        let energy = u.iter().zip(&v).map(|(u, v)| u * u + v * v).sum();
        (half_mean(energy), half_mean(omega.iter().map(|w| w * w).sum()))
    }

    /// The wavenumbers of derivatives along x and y, and K² with 1 for the mean.
    fn wavenumbers(&self, at: usize) -> (f64, f64, f64) {
        let n = self.config.n;
        let (y, x) = (at / n, at % n);
        let square = wavenumber(x, n).powi(2) + wavenumber(y, n).powi(2);
        (derivative_wavenumber(x, n), derivative_wavenumber(y, n), if at == 0 { 1.0 } else { square })
    }

    /// The stream function's spectrum.
    fn psi_hat(&self, hat: &[Complex], at: usize) -> Complex {
        if at == 0 { Complex::default() } else { hat[at] / self.wavenumbers(at).2 }
    }

    /// u = ∂y ψ, v = −∂x ψ.
    fn velocity(&self, hat: &[Complex]) -> (Vec<f64>, Vec<f64>) {
        self.fft.inverse_pair(|at| {
            let ((kx, ky, _), psi) = (self.wavenumbers(at), self.psi_hat(hat, at));
            (Complex::i() * ky * psi, -Complex::i() * kx * psi)
        })
    }

    /// (Cs dx)² |S|, with u_x = −v_y = ∂x∂y ψ and 2 S_xy = (∂y² − ∂x²) ψ.
    fn eddy_viscosity(&self, hat: &[Complex]) -> Vec<f64> {
        let (u_x, s_xy) = self.fft.inverse_pair(|at| {
            let ((kx, ky, _), psi) = (self.wavenumbers(at), self.psi_hat(hat, at));
            (-kx * ky * psi, (kx * kx - ky * ky) / 2.0 * psi)
        });
        let length = self.config.cs * 2.0 * PI / self.config.n as f64;
        let strain = |(u_x, s_xy): (&f64, &f64)| (4.0 * (u_x * u_x + s_xy * s_xy) + 1e-30).sqrt();
        u_x.iter().zip(&s_xy).map(|pair| (length * length * strain(pair)).max(0.0)).collect()
    }

    /// −(u ω_x + v ω_y) + ν ∇²ω.
    fn tendency(&self, hat: &[Complex], viscosity: &[f64]) -> Vec<f64> {
        let (u, v) = self.velocity(hat);
        let (w_x, w_y) = self.fft.inverse_pair(|at| {
            let (kx, ky, _) = self.wavenumbers(at);
            (Complex::i() * kx * hat[at], Complex::i() * ky * hat[at])
        });
        let laplacian = (0..hat.len()).map(|at| -self.wavenumbers(at).2 * hat[at]).collect();
        let laplacian = self.fft.inverse_real(laplacian);
        (0..u.len()).map(|at| -(u[at] * w_x[at] + v[at] * w_y[at]) + viscosity[at] * laplacian[at]).collect()
    }
}
