//! Tells people where the program listens.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use lifecycle_core::{Criticality, Registration, component};

/// Prints addresses on standard output, one a line, when everything is open.
#[derive(Default)]
pub(crate) struct Announced(Vec<(String, &'static str, Address)>);

/// Tells where something listens, once it does.
type Address = Box<dyn Fn() -> Option<SocketAddr> + Send + Sync>;

impl Announced {
    pub(crate) fn add(
        mut self,
        name: &str,
        scheme: &'static str,
        address: impl Fn() -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((name.to_owned(), scheme, Box::new(address)));
        self
    }

    /// The component `announcer`, which comes after `parts`.
    pub(crate) fn registration(self, parts: impl IntoIterator<Item = String>) -> Registration {
        let print = move |_| {
            self.print();
            std::future::ready(Ok(()))
        };
        let silent = async |_| Ok(());
        Registration::new("announcer", component::from_fn(print, silent))
            .after(parts)
            .criticality(Criticality::Optional)
    }

    fn print(&self) {
        for (name, scheme, address) in &self.0 {
            if let Some(address) = address() {
                // Whoever has closed standard output does not want to know.
                let _ = writeln!(io::stdout(), "{name} {scheme}://{address}");
            }
        }
    }
}
