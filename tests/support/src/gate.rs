//! A gate between sensorpipe and a server: open, closed, far away, or cutting a connection at a chosen word.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Forwards connections to a server, from a thread of its own; closed with the value.
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    is_open: watch::Sender<bool>,
    server: Arc<Mutex<String>>,
    cut: Arc<Mutex<Cut>>,
}

/// After which words of a client its connection is cut.
#[derive(Default)]
struct Cut {
    words: Vec<u8>,
    times_left: u32,
    times: u32,
}

impl Gate {
    /// An open gate to the server at `address`, such as `127.0.0.1:5432`.
    pub fn to(address: &str) -> Self {
        Self::far_from(address, Duration::ZERO)
    }

    /// An open gate from which each way to the server takes so long.
    pub fn far_from(address: &str, way: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("sockets can be non-blocking");
        let gate = Self {
            address: listener.local_addr().expect("it is bound"),
            is_open: watch::Sender::new(true),
            server: Arc::new(Mutex::new(address.to_owned())),
            cut: Arc::default(),
        };
        let (server, is_open, cut) =
            (Arc::clone(&gate.server), gate.is_open.subscribe(), Arc::clone(&gate.cut));
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(serve(listener, server, way, is_open, cut));
        });
        gate
    }

    /// Ends every connection, through which nothing passes from now on; new ones end as soon as they begin.
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Leads new connections to another server, as an address does that moves; those that are there stay where they are.
    pub fn lead_to(&self, address: &str) {
        address.clone_into(&mut self.server.lock().expect("no thread panicked"));
    }

    /// Passes the client's next messages that hold these bytes on, and then cuts its connection before the answer,
    /// so many times.
    pub fn cut_after(&self, words: &[u8], times: u32) {
        *self.cut.lock().expect("no thread panicked") =
            Cut { words: words.to_vec(), times_left: times, times: 0 };
    }

    /// How often a connection was cut since [`Self::cut_after`].
    pub fn times_cut(&self) -> u32 {
        self.cut.lock().expect("no thread panicked").times
    }
}

async fn serve(
    listener: std::net::TcpListener,
    server: Arc<Mutex<String>>,
    way: Duration,
    mut is_open: watch::Receiver<bool>,
    cut: Arc<Mutex<Cut>>,
) {
    let listener = TcpListener::from_std(listener).expect("the runtime has I/O");
    loop {
        let (client, _) = tokio::select! {
            accepted = listener.accept() => accepted.expect("connections can be accepted"),
            changed = is_open.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        if *is_open.borrow() {
            let server = server.lock().expect("no thread panicked").clone();
            tokio::spawn(forward(client, server, way, is_open.clone(), Arc::clone(&cut)));
        }
    }
}

/// Until one side ends, the gate closes, or the words to cut after have passed.
async fn forward(
    client: TcpStream,
    server: String,
    way: Duration,
    mut is_open: watch::Receiver<bool>,
    cut: Arc<Mutex<Cut>>,
) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let must_cut = |bytes: &[u8]| {
        let mut cut = cut.lock().expect("no thread panicked");
        let must = cut.times_left > 0 && bytes.windows(cut.words.len()).any(|some| some == cut.words);
        if must {
            cut.times_left -= 1;
            cut.times += 1;
        }
        must
    };
    // The gate's thread may learn late that it closes.
    let gate = is_open.clone();
    let is_closed = || !*gate.borrow();
    let is_cut = AtomicBool::new(false);
    // Noted before the bytes go on, or the answer could be quicker; that answer is what the client never gets.
    let note = |bytes: &[u8]| {
        is_cut.fetch_or(must_cut(bytes), Ordering::Relaxed);
        is_closed()
    };
    tokio::select! {
        () = copy(from_client, to_server, way, note) => {}
        () = copy(from_server, to_client, way, |_| is_closed() || is_cut.load(Ordering::Relaxed)) => {}
        () = async { while is_open.changed().await.is_ok_and(|()| *is_open.borrow()) {} } => {}
    }
}

/// Passes bytes on, each so long after it came, until an end, or until `ends_here` says so of some.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Duration,
    ends_here: impl Fn(&[u8]) -> bool,
) {
    let (underway, mut arrived) = mpsc::channel::<(Instant, Vec<u8>)>(1_024);
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let bytes = buffer[..length].to_vec();
            if ends_here(&bytes) || underway.send((Instant::now() + way, bytes)).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some((due, bytes)) = arrived.recv().await {
            if !way.is_zero() {
                sleep_until(due).await;
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
