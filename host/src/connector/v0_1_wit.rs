//! Contract 0.1.0: its bindings, of what each connector exports.

wasmtime::component::bindgen!({
    path: "../wit/0.1.0",
    world: "document-connector",
    exports: { default: async },
});
