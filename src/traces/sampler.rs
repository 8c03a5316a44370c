//! Which spans are kept.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SamplingResult, ShouldSample};

use super::context::as_parent;

/// The configured sampler, which takes what a batch is linked to for its parent.
///
/// A batch has many requests before it and so none of them for a parent. Going by chance instead, a sampler that keeps
/// one trace in a hundred would keep a request whose batch it drops. One that does not go by parents is not affected.
#[derive(Clone, Debug)]
pub(super) struct LinkedSampler {
    configured: Box<dyn ShouldSample>,
}

impl LinkedSampler {
    pub(super) fn new(configured: Box<dyn ShouldSample>) -> Self {
        Self { configured }
    }
}

impl ShouldSample for LinkedSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let has_parent = parent.is_some_and(|parent| parent.span().span_context().is_valid());
        let linked = links.iter().find(|link| link.span_context.is_sampled()).filter(|_| !has_parent);
        let Some(linked) = linked else {
            return self.configured.should_sample(parent, trace_id, name, kind, attributes, links);
        };
        let stand_in = as_parent(linked.span_context.clone());
        let sampled = self.configured.should_sample(Some(&stand_in), trace_id, name, kind, attributes, links);
        // The state is that of another trace.
        SamplingResult { trace_state: TraceState::NONE, ..sampled }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision};

    use super::*;
    use crate::traces::context::Remote;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn is_kept(sampler: Sampler, traceparent: &str) -> bool {
        let Remote(context) = Remote::parse(traceparent, Some("a=b")).unwrap();
        let links = [Link::with_context(context)];
        let decided = LinkedSampler::new(Box::new(sampler)).should_sample(
            Some(&Context::new()),
            TraceId::from(1),
            "process",
            &SpanKind::Consumer,
            &[],
            &links,
        );
        assert_eq!(decided.trace_state, TraceState::NONE);
        decided.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_batch_is_kept_with_a_request_of_it_where_the_sampler_goes_by_parents() {
        let unsampled = SAMPLED.replace("-01", "-00");
        let by_parent = || Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        assert!(is_kept(by_parent(), SAMPLED));
        assert!(!is_kept(by_parent(), &unsampled));
        assert!(!is_kept(Sampler::AlwaysOff, SAMPLED));
        assert!(is_kept(Sampler::AlwaysOn, &unsampled));
    }
}
