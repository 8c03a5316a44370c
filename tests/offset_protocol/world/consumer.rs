//! A consumer: the state machine that ships, and the thinnest shell that carries out what it says.

use std::collections::{BTreeMap, VecDeque};

use sensorpipe::{
    log::{Fence, Gap, Span, StoredOffset, Watermarks},
    protocol::{Action, Answer, Compared, Event, PartitionStart, State, Time},
};

use super::{BOUNDS, Beside, Bug, LastRecord, database::Database, group::Group, topic::Topic};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Consumer {
    pub(super) state: State<LastRecord>,
    pub(super) condition: Condition,
    /// What the group has said and the consumer has not heard yet.
    pub(super) events: VecDeque<GroupEvent>,
    /// The group waits for an answer, and says nothing else before.
    pub(super) is_asked: bool,
    /// What Kafka's client reads.
    pub(super) client: BTreeMap<i32, Position>,
    /// What the batch that fills has taken.
    pub(super) filling: Vec<(i32, LastRecord)>,
    pub(super) jobs: VecDeque<Job>,
    /// The partitions that people are told are stalled, and what their logs have against their offsets.
    pub(super) stalled: BTreeMap<i32, Option<Gap>>,
    /// What the database was asked: where partitions start.
    pub(super) questions: VecDeque<Question>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Condition {
    Up,
    /// Stopped by a signal: does nothing, keeps its connections.
    Frozen,
    Down,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum GroupEvent {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Lost(Vec<i32>),
}

/// Where the client is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub(super) offset: i64,
    /// That of the last record that was read, by which the client notices that the log was cut.
    pub(super) epoch: Option<i32>,
    /// Nothing more is taken.
    pub(super) is_held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) asked: Vec<i32>,
    /// The ends of the logs when it was asked.
    logs: Vec<Watermarks>,
}

/// What the writer has to do, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    Write(Batch, Phase),
    /// With the gaps that are to be kept, and the offsets that they were found at.
    ReadStoredOffsets(Vec<i32>, Vec<(Gap, StoredOffset<LastRecord>)>),
    StoredOffsetsRead(Vec<i32>, Vec<StoredOffset<LastRecord>>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) topic_id: String,
    /// Each with what is stored beside its end.
    pub(super) spans: Vec<(Span, Beside)>,
    /// It was tried before, and nobody knows what came of it.
    pub(super) is_retry: bool,
    pub(super) records: Vec<(i32, LastRecord)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// To be written, for the first time or again.
    Pending,
    /// The compare-and-set has moved the offsets, and their rows are locked; COMMIT is next.
    Open,
    /// With a bug: one of two transactions has committed.
    HalfCommitted,
    Committed,
    Fenced(Vec<Fence<LastRecord>>),
    TooMuch(Vec<StoredOffset<LastRecord>>),
}

impl Batch {
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.iter().map(|(span, _)| *span).collect()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = LastRecord> {
        self.records.iter().map(|(_, record)| *record)
    }
}

/// What a consumer's shell has at hand.
pub(super) struct Surroundings<'a> {
    pub(super) index: usize,
    pub(super) now: Time,
    pub(super) bug: Option<Bug>,
    pub(super) topic: &'a Topic,
    pub(super) group: &'a mut Group,
    pub(super) database: &'a mut Database,
}

impl Consumer {
    pub(super) fn new() -> Self {
        Self {
            state: State::new(BOUNDS),
            condition: Condition::Up,
            events: VecDeque::new(),
            is_asked: false,
            client: BTreeMap::new(),
            filling: vec![],
            jobs: VecDeque::new(),
            stalled: BTreeMap::new(),
            questions: VecDeque::new(),
        }
    }

    /// The group says something. It says alike things at once where they have not been heard yet.
    pub(super) fn tell(&mut self, event: GroupEvent) {
        match (self.events.back_mut(), event) {
            (Some(GroupEvent::Assigned(before)), GroupEvent::Assigned(more))
            | (Some(GroupEvent::Revoked(before)), GroupEvent::Revoked(more)) => {
                before.extend(more);
                before.sort_unstable();
                before.dedup();
            }
            (_, event) => self.events.push_back(event),
        }
    }

    /// Reports what happened, and does what is to be done about it.
    pub(super) fn on(&mut self, event: Event<LastRecord>, around: &mut Surroundings<'_>) {
        let mut actions = Vec::new();
        self.state.on(event, around.now, &mut actions);
        for action in actions {
            self.carry_out(action, around);
        }
    }

    fn carry_out(&mut self, action: Action, around: &mut Surroundings<'_>) {
        match action {
            Action::Hold(partitions) => self.hold(&partitions),
            Action::RequestStartOffsets(asked) => self.request_start_offsets(asked, around),
            Action::Assign(starts) => {
                self.is_asked = false;
                for (partition, offset) in starts {
                    self.client.insert(partition, Position { offset, epoch: None, is_held: false });
                }
            }
            Action::Unassign(partitions) => {
                assert!(!self.is_asked, "librdkafka would take it for the answer");
                self.drop_client(&partitions);
            }
            Action::Reread(partition, offset) => {
                assert!(!self.is_asked, "librdkafka would take it for the answer");
                self.client.insert(partition, Position { offset, epoch: None, is_held: false });
            }
            Action::GiveUp(partitions) => {
                assert!(self.is_asked, "the group has not asked");
                self.give_up(&partitions, around);
            }
            Action::Discard(partitions) => {
                if around.bug != Some(Bug::BatchKeptAcrossRevocation) {
                    self.filling.retain(|(partition, _)| !partitions.contains(partition));
                }
            }
            Action::Compare { partition, position } => {
                let found = compare(partition, position, self.state.topic_id(), around);
                self.on(Event::Compared { partition, found }, around);
            }
            Action::Write(spans) => self.write(&spans),
            Action::WriteAgain { without } => {
                if let Some(Job::Write(batch, phase)) = self.jobs.front_mut() {
                    batch.spans.retain(|(span, _)| !without.contains(&span.partition));
                    batch.records.retain(|(partition, _)| !without.contains(partition));
                    *phase = Phase::Pending;
                }
            }
            Action::Recycle => _ = self.jobs.pop_front(),
            Action::ReadStoredOffsets { partitions, .. } => {
                if around.bug != Some(Bug::NobodyLooks) {
                    let gaps = partitions.iter().filter_map(|&partition| self.kept_gap(partition)).collect();
                    self.jobs.push_back(Job::ReadStoredOffsets(partitions, gaps));
                }
            }
            Action::Leave { answer, .. } => {
                assert_eq!(self.is_asked, answer.is_some(), "whatever the group asks is answered");
                match answer {
                    Some(Answer::Assign(_)) | None => {}
                    Some(Answer::Unassign(partitions)) => self.give_up(&partitions, around),
                }
                self.disconnect();
                around.group.expel(around.index);
            }
            Action::ReportGap(partition, gap) => _ = self.stalled.insert(partition, Some(gap)),
            Action::ReportUnreadable(partition, _) => _ = self.stalled.insert(partition, None),
            Action::NoteUnverifiable(partition) => {
                around.database.give_up_regrown(partition, &around.topic.logs[partition as usize]);
            }
            Action::ReportReadable(partition) => _ = self.stalled.remove(&partition),
            Action::ClearReports(partitions) => {
                self.stalled.retain(|partition, _| !partitions.contains(partition));
            }
            Action::CommitToKafka(_)
            | Action::TryWriting
            | Action::Settled
            | Action::NoteFailedFetch(_)
            | Action::ReportUnblocked(_)
            | Action::ReportMoved(..) => {}
        }
    }

    /// Whether nothing passes for stalled, once everything goes well; who is frozen says nothing.
    pub(super) fn reports_nothing(&self) -> bool {
        self.condition != Condition::Up || self.stalled.is_empty()
    }

    /// What is to be kept of a stalled partition for whoever has it next.
    fn kept_gap(&self, partition: i32) -> Option<(Gap, StoredOffset<LastRecord>)> {
        let gap = (*self.stalled.get(&partition)?).filter(|gap| gap.may_grow_over())?;
        Some((gap, self.state.blocked_at(partition)?.clone()))
    }

    /// The client has nothing any more, and hears nothing.
    pub(super) fn disconnect(&mut self) {
        self.client.clear();
        self.events.clear();
        self.is_asked = false;
        self.filling.clear();
        // What is answered after all is another membership's.
        self.questions.clear();
    }

    pub(super) fn hold(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(position) = self.client.get_mut(partition) {
                position.is_held = true;
            }
        }
    }

    fn drop_client(&mut self, partitions: &[i32]) {
        self.client.retain(|partition, _| !partitions.contains(partition));
    }

    fn give_up(&mut self, partitions: &[i32], around: &mut Surroundings<'_>) {
        self.is_asked = false;
        self.drop_client(partitions);
        around.group.take_back(around.index, partitions);
    }

    fn request_start_offsets(&mut self, asked: Vec<i32>, around: &mut Surroundings<'_>) {
        if around.topic.id() != self.state.topic_id() {
            self.on(Event::StartOffsetsFailed { asked }, around);
            return;
        }
        let log = |&partition: &i32| around.topic.logs[partition as usize].watermarks();
        let logs = asked.iter().map(log).collect();
        self.questions.push_back(Question { asked, logs });
    }

    /// The database answers where partitions start.
    pub(super) fn answer_starts(&mut self, around: &mut Surroundings<'_>) {
        let Some(Question { asked, logs }) = self.questions.pop_front() else { return };
        let topic_id = self.state.topic_id().to_owned();
        let mut starts = Vec::new();
        for (&partition, &log) in asked.iter().zip(&logs) {
            if around.database.stored(partition).is_none() {
                // What expired before anybody asked is not missed.
                around.database.give_up(&around.topic.logs[partition as usize]);
                around.database.begin(partition, log.low, topic_id.clone());
            }
            let Some(stored) = around.database.stored(partition).cloned() else { continue };
            let found = around.database.found_gap(partition, &topic_id);
            let mut start = PartitionStart::new(stored, &topic_id, Some(log), found);
            let now = &around.topic.logs[partition as usize];
            if start.gap == Some(Gap::OffsetPastEnd) {
                // Whoever had it before may have stored what came in between.
                start.gap = start.stored.gap(&topic_id, now.watermarks()).or(start.kept);
            }
            if start.is_unverifiable {
                around.database.give_up_regrown(partition, now);
            }
            if around.bug == Some(Bug::GapNotChecked) {
                start.gap = None;
            }
            starts.push(start);
        }
        self.on(Event::Starts { asked, starts }, around);
    }

    fn write(&mut self, spans: &[Span]) {
        let beside = |span: &Span| Beside {
            given_times: self.state.given_times(span.partition).copied().unwrap_or_default(),
            last_record: self.state.last_record(span.partition),
        };
        let batch = Batch {
            topic_id: self.state.topic_id().to_owned(),
            spans: spans.iter().map(|span| (*span, beside(span))).collect(),
            is_retry: false,
            records: std::mem::take(&mut self.filling),
        };
        self.jobs.push_back(Job::Write(batch, Phase::Pending));
    }
}

fn compare(partition: i32, position: i64, topic_id: &str, around: &Surroundings<'_>) -> Compared {
    let log = around.topic.logs[partition as usize].watermarks();
    match Gap::between(topic_id, position, &around.topic.id(), log) {
        Some(gap) if around.bug != Some(Bug::GapNotChecked) => Compared::Gap(gap),
        Some(_) | None => Compared::NoGap { low: log.low },
    }
}
