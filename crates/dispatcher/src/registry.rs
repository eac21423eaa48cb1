//! [`Registry`]: finds the procedure that a name stands for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fault::Fault;
use crate::handler::{Handler, Layers};
use crate::pattern::Pattern;
use crate::procedure::Procedure;
use crate::route::Route;
use crate::shape::Shape;

/// A procedure that can be called.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) shape: Shape,
    pub(crate) name: String,
    pub(crate) encoding: Option<String>,
    pub(crate) aliases: Vec<String>,
    /// What its layers are told.
    pub(crate) route: Route,
    /// The handler with every layer around it.
    pub(crate) handler: Handler,
}

/// The procedures of a service. Names are compared without regard to ASCII case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    names: HashMap<(Shape, String), Arc<Entry>>,
    aliases: HashMap<(Shape, String), Arc<Entry>>,
    /// The most literal ones first; of equals the one that was there first.
    patterns: Vec<(Pattern, Arc<Entry>)>,
}

impl Registry {
    /// Adds a procedure with all of its names, or, when one of them cannot be, nothing.
    pub(crate) fn add(
        &mut self,
        procedure: Procedure,
        around: &Layers,
        outbounds: &HashMap<String, Handler>,
    ) -> Result<(), Vec<Fault>> {
        let shape = procedure.shape;
        let name = procedure.name.trim().to_owned();
        let aliases: Vec<_> = procedure.aliases.iter().map(|it| it.trim()).collect();
        let mut faults = Vec::new();
        if name.is_empty() {
            faults.push(Fault::BlankProcedure { shape });
        }
        if aliases.contains(&"") {
            let procedure = name.clone();
            faults.push(Fault::BlankAlias { procedure });
        }

        let answering = procedure.handler(outbounds);
        let Ok(answering) = answering.map_err(|it| faults.push(it)) else {
            return Err(faults);
        };
        let inner = procedure.layers.around(answering);
        let entry = Arc::new(Entry {
            shape,
            name: name.clone(),
            encoding: procedure.encoding,
            aliases: aliases.iter().map(|it| (*it).to_owned()).collect(),
            route: Route::procedure(&name, shape),
            handler: around.around(inner),
        });
        let mut larger = self.clone();
        let names = std::iter::once((&*name, false));
        for (name, is_alias) in names.chain(aliases.into_iter().map(|it| (it, true))) {
            if !name.is_empty() && !larger.insert(name, is_alias, &entry) {
                let name = name.to_owned();
                faults.push(Fault::DuplicateProcedure { shape, name });
            }
        }
        if faults.is_empty() {
            *self = larger;
            return Ok(());
        }
        Err(faults)
    }

    /// Whether there was room for it.
    fn insert(&mut self, name: &str, is_alias: bool, entry: &Arc<Entry>) -> bool {
        let shape = entry.shape;
        if let Some(pattern) = Pattern::new(name) {
            let literals = pattern.literals();
            let alike =
                |(it, other): &(Pattern, Arc<Entry>)| *it == pattern && other.shape == shape;
            if self.patterns.iter().any(alike) {
                return false;
            }
            let place = self
                .patterns
                .partition_point(|(it, _)| it.literals() >= literals);
            self.patterns.insert(place, (pattern, Arc::clone(entry)));
            return true;
        }
        let key = (shape, name.to_ascii_lowercase());
        if self.names.contains_key(&key) || self.aliases.contains_key(&key) {
            return false;
        }
        let map = if is_alias {
            &mut self.aliases
        } else {
            &mut self.names
        };
        map.insert(key, Arc::clone(entry));
        true
    }

    /// Each procedure once, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let is_name =
            |it: &&(Pattern, Arc<Entry>)| Pattern::new(&it.1.name).as_ref() == Some(&it.0);
        let patterns = self.patterns.iter().filter(is_name);
        self.names.values().chain(patterns.map(|(_, entry)| entry))
    }

    /// What `name` stands for: the name itself, or an alias, or the most literal pattern.
    pub(crate) fn find(&self, shape: Shape, name: &str) -> Option<&Arc<Entry>> {
        let key = (shape, name.trim().to_ascii_lowercase());
        let exact = self.names.get(&key).or_else(|| self.aliases.get(&key));
        exact.or_else(|| {
            let mut patterns = self.patterns.iter().filter(|(_, it)| it.shape == shape);
            let found = patterns.find(|(it, _)| it.matches(&key.1))?;
            Some(&found.1)
        })
    }

    /// The shape of what `name` stands for, for whoever does not know it. Of equally good finds it is the widest, which can carry
    /// what the others do.
    pub(crate) fn shape_of(&self, name: &str) -> Option<Shape> {
        let name = name.trim().to_ascii_lowercase();
        let widest = |found: &dyn Fn(Shape) -> bool| {
            let mut shapes = Shape::WIDEST_FIRST.into_iter();
            shapes.find(|it| found(*it))
        };
        let listed = |map: &HashMap<(Shape, String), Arc<Entry>>| {
            widest(&|shape| map.contains_key(&(shape, name.clone())))
        };
        let exact = listed(&self.names).or_else(|| listed(&self.aliases));
        exact.or_else(|| {
            let matching = self.patterns.iter().filter(|(it, _)| it.matches(&name));
            let matching: Vec<_> = matching.collect();
            let best = matching.first()?.0.literals();
            widest(&|shape| {
                let equals = matching.iter().filter(|(it, _)| it.literals() == best);
                equals.into_iter().any(|(_, entry)| entry.shape == shape)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Response;
    use crate::handler::handler_fn;

    fn procedure(shape: Shape, name: &str) -> Procedure {
        Procedure::new(shape, name, handler_fn(async |_| Ok(Response::empty())))
    }

    fn unary(name: &str) -> Procedure {
        procedure(Shape::Unary, name)
    }

    fn add(registry: &mut Registry, procedure: Procedure) -> Result<(), Vec<Fault>> {
        registry.add(procedure, &Layers::default(), &HashMap::new())
    }

    #[track_caller]
    fn registry(procedures: impl IntoIterator<Item = Procedure>) -> Registry {
        let mut registry = Registry::default();
        for it in procedures {
            add(&mut registry, it).expect("no fault");
        }
        registry
    }

    #[track_caller]
    fn check(registry: &Registry, name: &str, expected: &str) {
        let found = registry.find(Shape::Unary, name);
        assert_eq!(found.map_or("-", |it| &it.name), expected, "{name}");
    }

    #[test]
    fn a_name_goes_before_an_alias_and_that_before_a_pattern() {
        let wild = unary("pets::*");
        let named = unary("pets::list");
        let other = unary("animals").alias("pets::all");
        let registry = registry([wild, named, other]);
        check(&registry, " PETS::List ", "pets::list");
        check(&registry, "pets::all", "animals");
        check(&registry, "pets::feed", "pets::*");
        check(&registry, "plants::feed", "-");
        assert!(registry.find(Shape::Duplex, "pets::list").is_none());
    }

    #[test]
    fn the_most_literal_pattern_is_taken_and_of_equals_the_first() {
        let registry = registry([unary("*"), unary("ab*"), unary("a*c"), unary("a*cd")]);
        check(&registry, "abc", "ab*");
        check(&registry, "axc", "a*c");
        check(&registry, "abcd", "a*cd");
        check(&registry, "x", "*");
    }

    #[test]
    fn a_pattern_can_be_an_alias() {
        let registry = registry([unary("old").alias("v1::*")]);
        check(&registry, "v1::anything", "old");
    }

    #[test]
    fn shapes_have_names_of_their_own() {
        let registry = registry(Shape::ALL.map(|it| procedure(it, "same")));
        for shape in Shape::ALL {
            let found = registry.find(shape, "same").expect("there");
            assert_eq!(found.shape, shape);
        }
    }

    #[test]
    fn a_name_without_a_shape_has_that_of_the_best_find_and_of_equals_the_widest() {
        let registry = registry([
            procedure(Shape::Unary, "list"),
            procedure(Shape::Oneway, "list"),
            procedure(Shape::Duplex, "other").alias("list"),
            procedure(Shape::ClientStream, "l*"),
            procedure(Shape::Unary, "*"),
            procedure(Shape::ServerStream, "*"),
        ]);
        for (name, expected) in [
            (" LIST ", Shape::Unary),
            ("other", Shape::Duplex),
            ("lists", Shape::ClientStream),
            ("x", Shape::ServerStream),
        ] {
            assert_eq!(registry.shape_of(name), Some(expected), "{name}");
        }
        assert_eq!(Registry::default().shape_of("list"), None);
    }

    #[test]
    fn what_is_taken_is_refused_and_then_nothing_of_it_is_added() {
        let mut registry = registry([unary("list").alias("ls"), unary("a*")]);
        for (taken, name) in [
            (unary("LIST").alias("new"), "LIST"),
            (unary("ls").alias("new"), "ls"),
            (unary("new").alias("List"), "List"),
            (unary("new").alias("A*"), "A*"),
            (unary("new").alias("New"), "New"),
        ] {
            let faults = add(&mut registry, taken).unwrap_err();
            let (shape, name) = (Shape::Unary, name.to_owned());
            assert_eq!(faults, [Fault::DuplicateProcedure { shape, name }]);
            check(&registry, "new", "-");
        }
    }

    #[test]
    fn blank_names_are_refused_all_at_once() {
        let mut registry = Registry::default();
        let blank = unary(" ").alias("").alias("\t");
        let faults = add(&mut registry, blank).unwrap_err();
        let shape = Shape::Unary;
        let procedure = String::new();
        assert_eq!(
            faults,
            [
                Fault::BlankProcedure { shape },
                Fault::BlankAlias { procedure }
            ]
        );
    }
}
