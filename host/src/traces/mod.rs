//! What a crawl does, as one trace. It is sent by OTLP where `[observe]` names a collector; otherwise nothing is made of it.
//!
//! A crawl's steps may be done by several workers. So its trace's id, and that of its whole span, are made of its upload
//! id: each of them knows both.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    FutureExt as _, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use sha2::{Digest as _, Sha256};
use tracing::{Instrument as _, Span};

use crate::failure::{Failure, Result};
use crate::machine::this_process;
use crate::redact::redact;
use crate::release;

mod sender;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// How long the end of a process waits for what was not sent.
const LAST: Duration = Duration::from_secs(3);

/// Sends what is left when it is dropped.
pub struct Sending(SdkTracerProvider);

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.0.shutdown_with_timeout(LAST);
    }
}

/// From now on the traces of this process are sent there: `http://collector:4318`.
pub fn start(collector: &str) -> Result<Sending> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::settings(format!("traces cannot be sent to {collector}: {error}"))
            .next("write it like http://collector:4318: OTLP over HTTP")
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(sender::Sender::new().map_err(|error| wrong(&error))?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .build()
        .map_err(|error| wrong(&error))?;
    let resource = Resource::builder()
        .with_service_name("sheaf")
        .with_attribute(KeyValue::new("service.version", release::VERSION))
        .with_attribute(KeyValue::new("service.instance.id", this_process()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .with_id_generator(Ids::default())
        .build();
    let _ = TRACER.set(provider.tracer("sheaf"));
    Ok(Sending(provider))
}

/// What the log's lines are about that are written in it.
pub fn about(connection: &str, upload_id: &str) -> Span {
    tracing::info_span!(target: "crawl", "crawl", connection, crawl = upload_id)
}

/// Something that takes its time. It ends when this is dropped; where nothing is sent it is nothing.
pub struct Step {
    context: Option<Context>,
    /// What the log's lines are about that are written meanwhile.
    about: Span,
}

impl Step {
    /// A step of a crawl.
    pub fn of_crawl(connection: &str, upload_id: &str, name: &'static str) -> Self {
        let about = about(connection, upload_id);
        let context = begin(name, || Context::new().with_remote_span_context(whole(upload_id)));
        Self { context, about }.says("connection", connection).says("crawl", upload_id)
    }

    /// The part of a step that crawls one scope.
    pub fn of_scope(connection: &str, upload_id: &str, scope: &str) -> Self {
        let about =
            tracing::info_span!(target: "crawl", "crawl", connection, crawl = upload_id, scope);
        Self { about, ..Self::within("scope") }.says("scope", scope)
    }

    /// A part of the step in which it is begun; nothing outside of any.
    pub fn within(name: &'static str) -> Self {
        let parent = Context::current();
        let is_part = parent.span().span_context().is_valid();
        Self { context: if is_part { begin(name, || parent) } else { None }, about: Span::none() }
    }

    /// What it is about.
    #[must_use]
    pub fn says(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        self.note(key, value);
        self
    }

    pub fn note(&self, key: &'static str, value: impl std::fmt::Display) {
        if let Some(context) = &self.context {
            context
                .span()
                .set_attribute(KeyValue::new(key, redact(&value.to_string()).into_owned()));
        }
    }

    /// Whatever is begun in this is a part of it. Its failure is the step's.
    pub async fn run<T, E: std::fmt::Display>(
        self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Self { context, about } = self;
        let work = work.instrument(about);
        let Some(context) = context else { return work.await };
        let ended = work.with_context(context.clone()).await;
        if let Err(error) = &ended {
            let why = redact(&error.to_string()).into_owned();
            context.span().set_status(Status::error(why));
        }
        ended
    }
}

/// Whether anybody wants to hear of steps.
pub fn are_sent() -> bool {
    TRACER.get().is_some()
}

/// A part of the step that runs now, which another process has done; outside of any it is nothing.
pub fn told(
    name: &'static str,
    ago: Duration,
    took: Duration,
    says: Vec<(&'static str, String)>,
    why_not: Option<String>,
) {
    let parent = Context::current();
    let Some(tracer) = TRACER.get().filter(|_| parent.span().span_context().is_valid()) else {
        return;
    };
    let began = SystemTime::now().checked_sub(ago).unwrap_or_else(SystemTime::now);
    let says = says.into_iter().map(|(key, value)| KeyValue::new(key, redact(&value).into_owned()));
    let builder = tracer.span_builder(name).with_start_time(began).with_attributes(says);
    let mut span = tracer.build_with_context(builder, &parent);
    if let Some(why) = why_not {
        span.set_status(Status::error(redact(&why).into_owned()));
    }
    span.end_with_timestamp(began + took);
}

/// Says something of the step that runs now.
pub fn note(key: &'static str, value: &str) {
    let context = Context::current();
    if context.span().is_recording() {
        context.span().set_attribute(KeyValue::new(key, value.to_owned()));
    }
}

fn begin(name: &'static str, parent: impl FnOnce() -> Context) -> Option<Context> {
    let tracer = TRACER.get()?;
    let parent = parent();
    let builder = tracer.span_builder(name).with_kind(SpanKind::Internal);
    let span = tracer.build_with_context(builder, &parent);
    Some(parent.with_span(span))
}

/// The whole crawl, which all its steps are parts of: told once, when it has ended.
pub fn whole_crawl(upload_id: &str, connection: &str, began: SystemTime, outcome: &str) {
    let Some(tracer) = TRACER.get() else { return };
    let of = whole(upload_id);
    NEXT.set(Some((of.trace_id(), of.span_id())));
    let builder = tracer.span_builder("crawl").with_start_time(began).with_attributes([
        KeyValue::new("connection", connection.to_owned()),
        KeyValue::new("crawl", upload_id.to_owned()),
        KeyValue::new("outcome", outcome.to_owned()),
    ]);
    drop(tracer.build_with_context(builder, &Context::new()));
    NEXT.set(None);
}

fn whole(upload_id: &str) -> SpanContext {
    let hash = Sha256::digest(upload_id.as_bytes());
    let part = |from: usize| -> [u8; 8] { std::array::from_fn(|at| hash[from + at]) };
    let trace = [part(0), part(8)].concat();
    let trace = TraceId::from_bytes(std::array::from_fn(|at| trace[at]));
    let span = SpanId::from_bytes(part(16));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::default())
}

thread_local! {
    /// What the span that is made next on this thread is called.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Ids at random, but for whole crawls.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}
