//! A batch that is not written: where its partitions stand instead.

use super::{Written, open::Open};
use crate::{
    batch::Batch,
    log::{Fence, Log, Span, StoredOffset},
    store::{StoreError, offsets},
};

/// That a batch is to be read again in smaller ones, or, where that would not help, which partitions stand elsewhere.
pub(super) async fn too_much(
    open: &mut Open,
    log: &Log,
    batch: &Batch,
    fits: usize,
) -> Result<Written, StoreError> {
    let partitions: Vec<i32> = batch.spans().iter().map(|span| span.partition).collect();
    let stored = offsets::read(&mut open.connection, log, &partitions).await?;
    let stands = |span: &&Span| {
        let is_where_expected = |at: &StoredOffset| {
            at.partition == span.partition && at.next_offset == span.expected && at.topic_id == log.topic_id
        };
        stored.iter().any(is_where_expected)
    };
    let unmoved: Vec<i32> = batch.spans().iter().filter(stands).map(|span| span.partition).collect();
    if unmoved.len() < partitions.len() {
        return fenced(open, log, batch, &unmoved).await;
    }
    Ok(Written::TooMuch { fits, stored })
}

/// Which partitions stand elsewhere, or, where a commit's answer was lost, that all is well.
pub(super) async fn fenced(
    open: &mut Open,
    log: &Log,
    batch: &Batch,
    moved: &[i32],
) -> Result<Written, StoreError> {
    let partitions = batch.spans().iter().map(|span| span.partition);
    let others: Vec<i32> = partitions.filter(|partition| !moved.contains(partition)).collect();
    let mut stored = offsets::read(&mut open.connection, log, &others).await?;
    let mut fence = |span: &Span| {
        let at = stored.iter().position(|offset| offset.partition == span.partition);
        let stored = at.map(|at| stored.swap_remove(at));
        let is_written = stored.as_ref().is_some_and(|stored| {
            let beside = stored.given_times.to_bytes(span.next);
            stored.next_offset == span.next && batch.given_times(span.partition) == Some(beside.as_slice())
        });
        Fence { partition: span.partition, stored, is_written }
    };
    let fences = batch.spans().iter().filter(|span| others.contains(&span.partition)).map(&mut fence);
    Ok(Written::Fenced(fences.collect()))
}
