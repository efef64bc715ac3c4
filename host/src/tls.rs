//! The process's TLS provider.

/// Sees that rustls has a provider. One that somebody chose before stays.
pub fn choose_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
