//! Parameters of any module by their paths, such as `encoder.conv.0.weight`: one visitor and one mapper, which all
//! users of names share.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// What is done with each parameter of a module.
pub(crate) trait Visit {
    /// Called with the path and the parameter, in the order of the layers.
    fn parameter<const D: usize>(&mut self, name: &str, parameter: &Param<Tensor<D>>);
}

/// What each parameter of a module becomes.
pub(crate) trait Map {
    /// Called with the path and the parameter, in the order of the layers.
    fn parameter<const D: usize>(
        &mut self,
        name: &str,
        parameter: Param<Tensor<D>>,
    ) -> Param<Tensor<D>>;
}

/// Shows every parameter of a module.
pub(crate) fn visit(module: &impl Module, inner: &mut impl Visit) {
    module.visit(&mut Walk { path: Vec::new(), inner });
}

/// The module with other parameters.
pub(crate) fn map<M: Module>(module: M, inner: &mut impl Map) -> M {
    module.map(&mut Walk { path: Vec::new(), inner })
}

/// Keeps the path on the way through a module.
struct Walk<'a, T> {
    path: Vec<String>,
    inner: &'a mut T,
}

impl<T: Visit> ModuleVisitor for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.inner.parameter(&self.path.join("."), param);
    }
}

impl<T: Map> ModuleMapper for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.inner.parameter(&self.path.join("."), param)
    }
}
