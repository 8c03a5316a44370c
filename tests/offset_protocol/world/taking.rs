//! What each step does.

use sensorpipe::{
    log::FetchFault,
    protocol::{Event, Met, Proof, Run, Time},
};

use super::{
    Bug, Rules, World,
    consumer::{Condition, Consumer, GroupEvent, Job, Phase, Surroundings},
    steps::{Fetch, Step},
    topic::{Entry, Log},
};

impl World {
    pub(crate) fn take(&mut self, rules: &Rules, step: Step) {
        self.faults_left -= u8::from(step.is_fault());
        match step {
            Step::Append { partition, is_record } => {
                self.appends_left -= 1;
                self.append(partition, is_record);
            }
            Step::Assign { partition, member } => self.group.assign(partition, member, &mut self.consumers),
            Step::SessionExpires(index) | Step::DeclareDead(index) => self.expel(index),
            Step::Join(index) => {
                let topic_id = self.topic.id();
                self.report(rules, index, Event::Joined { topic_id });
            }
            Step::Hear(index) => self.hear(rules, index),
            Step::TopicIs(index) => {
                let topic_id = self.topic.id();
                self.report(rules, index, Event::TopicIs(topic_id));
            }
            Step::Answer(index) => self.with(rules, index, Consumer::answer_starts),
            Step::NoAnswer(index) => {
                if let Some(question) = self.consumers[index].questions.pop_front() {
                    self.report(rules, index, Event::StartOffsetsFailed { asked: question.asked });
                }
            }
            Step::StoredOffsetsUnread(index) => {
                self.consumers[index].jobs.pop_front();
                self.report(rules, index, Event::StoredOffsetsUnread);
            }
            Step::OffsetsNotTaken(index) => self.report(rules, index, Event::OffsetsNotTaken),
            Step::AssignNothing(index) => self.consumers[index].tell(GroupEvent::Assigned(vec![])),
            Step::Astray(fetch) => {
                self.report(rules, fetch.consumer, Event::Astray(fetch.partition as i32));
            }
            Step::Fetch(fetch) => self.fetch(rules, fetch),
            Step::FetchFails { fetch, fault } => self.fail_fetch(rules, fetch, fault),
            Step::Turn { consumer, waited } => {
                self.now += waited;
                self.turn(rules, consumer);
            }
            Step::Begin(index) => self.begin(rules, index),
            Step::Commit(index) | Step::CommitOfFrozen(index) => self.commit(rules, index),
            Step::CommitSecondHalf(index) => self.commit_second_half(rules, index),
            Step::CommitAnswerLost(index) => {
                self.commit(rules, index);
                self.try_again(index);
            }
            Step::ConnectionLost(index) | Step::EndBlocker(index) => {
                self.database.unlock(index);
                self.try_again(index);
            }
            Step::TooMuch(index) => self.find_too_much(index),
            Step::LookUp(index) => self.look_up(rules, index),
            Step::Reply(index) => self.reply(rules, index),
            Step::Freeze(index) => self.consumers[index].condition = Condition::Frozen,
            Step::Thaw(index) => self.consumers[index].condition = Condition::Up,
            Step::Kill(index) => self.end(index),
            Step::Restart(index) => {
                // A new member; the session of the one before has expired by then.
                self.group.expel(index);
                self.consumers[index] = Consumer::new();
            }
            Step::Stop(index) => self.report(rules, index, Event::Stop),
            Step::WantBack { partition } => {
                self.group.want_back(partition, rules.group, &mut self.consumers);
            }
            Step::AssignAgain { partition } => {
                if let Some(owner) = self.group.owners[partition] {
                    self.consumers[owner].tell(GroupEvent::Assigned(vec![partition as i32]));
                }
            }
            Step::Replicate => self.database.replicate(),
            Step::FailOver => self.fail_over(),
            Step::Expire { partition, entries } => self.topic.logs[partition].expire_first(entries),
            Step::Cut { partition } => self.topic.logs[partition].cut_last(),
            Step::CutAndAppend { partition } => {
                self.topic.logs[partition].cut_last();
                self.append(partition, true);
            }
            Step::RecreateTopic => self.topic.recreate(),
            Step::Accept(partition) => self.accept(partition),
            Step::Replay { partition } => self.replay(partition),
        }
        if rules.turns_at_once
            && let Some(index) = Self::told(step)
            && self.consumers[index].state.is_member()
        {
            self.turn(rules, index);
        }
    }

    fn with(&mut self, rules: &Rules, index: usize, act: impl FnOnce(&mut Consumer, &mut Surroundings<'_>)) {
        let Self { now, topic, group, database, consumers, .. } = self;
        let mut around = Surroundings { index, now: *now, bug: rules.bug, topic, group, database };
        act(&mut consumers[index], &mut around);
    }

    fn report(&mut self, rules: &Rules, index: usize, event: Event<super::LastRecord>) {
        self.with(rules, index, |consumer, around| consumer.on(event, around));
    }

    /// The consumer whose loop takes a step, if it is one of a loop.
    fn told(step: Step) -> Option<usize> {
        match step {
            Step::Hear(index)
            | Step::Answer(index)
            | Step::TopicIs(index)
            | Step::NoAnswer(index)
            | Step::StoredOffsetsUnread(index)
            | Step::Reply(index)
            | Step::Stop(index)
            | Step::Fetch(Fetch { consumer: index, .. })
            | Step::FetchFails { fetch: Fetch { consumer: index, .. }, .. } => Some(index),
            _ => None,
        }
    }

    pub(super) fn turn(&mut self, rules: &Rules, index: usize) {
        self.report(rules, index, Event::Turn { is_full: false });
        let state = &self.consumers[index].state;
        if state.is_stopping() && !state.is_member() {
            self.end(index);
        }
    }

    fn hear(&mut self, rules: &Rules, index: usize) {
        let Some(event) = self.consumers[index].events.pop_front() else { return };
        self.consumers[index].is_asked = true;
        let event = match event {
            GroupEvent::Assigned(partitions) => Event::Assigned(partitions),
            GroupEvent::Revoked(partitions) => Event::Revoked(partitions),
            GroupEvent::Lost(partitions) => Event::Lost(partitions),
        };
        self.report(rules, index, event);
    }

    /// The group takes everything from a consumer, which hears of it if it can.
    fn expel(&mut self, index: usize) {
        let mut lost = self.group.expel(index);
        let consumer = &mut self.consumers[index];
        consumer.events.clear();
        if consumer.condition != Condition::Down {
            lost.extend(consumer.client.keys());
            lost.sort_unstable();
            lost.dedup();
            consumer.tell(GroupEvent::Lost(lost));
        }
    }

    /// The process ends: its connections are closed, and the group does not know yet.
    fn end(&mut self, index: usize) {
        self.database.unlock(index);
        self.consumers[index] = Consumer { condition: Condition::Down, ..Consumer::new() };
    }

    fn fetch(&mut self, rules: &Rules, fetch: Fetch) {
        let Fetch { consumer: index, partition, most } = fetch;
        let consumer = &mut self.consumers[index];
        let number = partition as i32;
        let Some(&position) = consumer.client.get(&number) else { return };
        if consumer.state.topic_id() != self.topic.id() {
            self.fail_fetch(rules, fetch, FetchFault::Passing);
            return;
        }
        let log = &self.topic.logs[partition];
        let ends = log.watermarks();
        let mut offset = position.offset;
        if rules.bug == Some(Bug::GapNotChecked) {
            offset = offset.max(ends.low);
        }
        // Of what it has read the client knows the epoch, and asks the leader where that one ended.
        if position.epoch.is_some_and(|epoch| offset > log.end_of_epoch(epoch)) {
            self.fail_fetch(rules, fetch, FetchFault::OffsetOutOfRange);
            return;
        }
        let mut run = consumer.state.run(number);
        let (mut last, mut epoch) = (None, position.epoch);
        for _ in 0..most {
            let Some(entry) = log.entry(offset) else { break };
            if let Entry::Record(record) = entry
                && let Some(run) = &mut run
                && meet(rules, log, run, offset) == Met::Taken
            {
                consumer.filling.push((number, record));
                last = Some((record, log.identity(offset)));
            }
            epoch = Some(log.epoch(offset));
            offset += 1;
        }
        if let Some(run) = run.as_mut().filter(|_| offset == ends.high) {
            run.meet_end(offset);
        }
        consumer.client.entry(number).and_modify(|position| {
            position.offset = offset;
            position.epoch = epoch;
        });
        if let (Some(run), Some(before)) = (run, consumer.state.run(number)) {
            if let Some((record, Some(last_record))) = last {
                if let Some(given) = consumer.state.given_times_mut(number) {
                    *given = record;
                }
                self.report(rules, index, Event::Taken { partition: number, next: run.next, last_record });
            } else if run.proof != before.proof {
                self.report(rules, index, Event::Proven { partition: number, left: run.proof });
            }
            if run.has_diverged {
                self.report(rules, index, Event::Diverged(number));
            }
        }
        if offset == ends.high {
            self.report(rules, index, Event::Passed { partition: number, offset });
        } else if !(ends.low..ends.high).contains(&offset) {
            self.fail_fetch(rules, fetch, FetchFault::OffsetOutOfRange);
        }
    }

    fn fail_fetch(&mut self, rules: &Rules, fetch: Fetch, fault: FetchFault) {
        let partition = fetch.partition as i32;
        let consumer = &mut self.consumers[fetch.consumer];
        let Some(position) = consumer.client.get_mut(&partition) else { return };
        let is_record =
            matches!(self.topic.logs[fetch.partition].entry(position.offset), Some(Entry::Record(_)));
        match rules.bug {
            Some(Bug::FailedFetchCountsAsRead) if is_record => {
                position.offset += 1;
                let next = position.offset;
                if consumer.state.run(partition).is_some_and(|run| next > run.next)
                    && let Some(last_record) = self.topic.logs[fetch.partition].identity(next - 1)
                {
                    self.report(rules, fetch.consumer, Event::Taken { partition, next, last_record });
                }
            }
            Some(Bug::FailedFetchIsNotReadAgain) if is_record => position.offset += 1,
            _ => {
                position.is_held = true;
                self.report(rules, fetch.consumer, Event::FetchFailed { partition, fault });
            }
        }
    }

    fn begin(&mut self, rules: &Rules, index: usize) {
        let Some(Job::Write(batch, phase)) = self.consumers[index].jobs.front_mut() else { return };
        let spans = batch.spans();
        let is_taken_for_failed = rules.bug == Some(Bug::UnknownCommitTakenForFailed) && batch.is_retry;
        let fences = match rules.bug {
            Some(Bug::NoCompareAndSet) => vec![],
            _ if is_taken_for_failed => vec![],
            _ => self.database.fences(&batch.spans, &batch.topic_id),
        };
        *phase = if fences.is_empty() {
            self.database.lock(&spans, index);
            Phase::Open
        } else if rules.bug == Some(Bug::FenceIgnored) {
            batch.spans.retain(|(span, _)| fences.iter().all(|fence| fence.partition != span.partition));
            self.database.lock(&batch.spans(), index);
            Phase::Open
        } else {
            Phase::Fenced(fences)
        };
    }

    fn commit(&mut self, rules: &Rules, index: usize) {
        let Some(Job::Write(batch, phase)) = self.consumers[index].jobs.front_mut() else { return };
        self.database.unlock(index);
        let (readings, offsets) = match rules.bug {
            Some(Bug::OffsetsAfterTheReadings) => (true, false),
            Some(Bug::OffsetsBeforeTheReadings) => (false, true),
            _ => (true, true),
        };
        if readings {
            self.database.insert(batch.records());
        }
        if offsets {
            self.database.move_offsets(&batch.spans, &batch.topic_id);
        }
        *phase = if readings && offsets { Phase::Committed } else { Phase::HalfCommitted };
    }

    fn commit_second_half(&mut self, rules: &Rules, index: usize) {
        let Some(Job::Write(batch, phase)) = self.consumers[index].jobs.front_mut() else { return };
        if rules.bug == Some(Bug::OffsetsAfterTheReadings) {
            self.database.move_offsets(&batch.spans, &batch.topic_id);
        } else {
            self.database.insert(batch.records());
        }
        *phase = Phase::Committed;
    }

    /// The writer does not know what came of its transaction.
    fn try_again(&mut self, index: usize) {
        if let Some(Job::Write(batch, phase)) = self.consumers[index].jobs.front_mut() {
            batch.is_retry = true;
            *phase = Phase::Pending;
        }
    }

    fn find_too_much(&mut self, index: usize) {
        if let Some(Job::Write(batch, phase)) = self.consumers[index].jobs.front_mut() {
            let stored = |span: &sensorpipe::log::Span| self.database.stored(span.partition).cloned();
            *phase = Phase::TooMuch(batch.spans().iter().filter_map(stored).collect());
        }
    }

    fn look_up(&mut self, rules: &Rules, index: usize) {
        if let Some(job) = self.consumers[index].jobs.front_mut()
            && let Job::ReadStoredOffsets(asked, gaps) = job
        {
            for (gap, at) in gaps.iter() {
                self.database.keep_gap(*gap, at, rules.bug != Some(Bug::FoundGapForgotten));
            }
            let stored = |&partition: &i32| self.database.stored(partition).cloned();
            let stored = asked.iter().filter_map(stored).collect();
            *job = Job::StoredOffsetsRead(std::mem::take(asked), stored);
        }
    }

    fn reply(&mut self, rules: &Rules, index: usize) {
        let consumer = &mut self.consumers[index];
        let event = match consumer.jobs.front() {
            Some(Job::Write(_, Phase::Committed)) => Event::Committed,
            Some(Job::Write(_, Phase::Fenced(fences))) => Event::Fenced(fences.clone()),
            Some(Job::Write(_, Phase::TooMuch(stored))) => Event::TooMuch(stored.clone()),
            Some(Job::StoredOffsetsRead(asked, stored)) => {
                let (asked, stored) = (asked.clone(), stored.clone());
                consumer.jobs.pop_front();
                Event::StoredOffsetsRead { asked, stored, has_reported: None }
            }
            _ => return,
        };
        self.report(rules, index, event);
    }

    fn fail_over(&mut self) {
        for index in 0..self.consumers.len() {
            if matches!(self.consumers[index].jobs.front(), Some(Job::Write(_, Phase::Open))) {
                self.try_again(index);
            }
        }
        self.database.fail_over();
    }

    pub(super) fn wait(&mut self, time: Time) {
        self.now += time;
    }
}

fn meet(rules: &Rules, log: &Log, run: &mut Run, offset: i64) -> Met {
    let found = log.identity(offset);
    let same = match run.proof {
        Proof::Record(last) if rules.bug == Some(Bug::LastRecordNotCompared) => Some(last),
        _ => found,
    };
    run.meet(offset, || same.expect("there is a record"))
}
