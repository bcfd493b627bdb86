using System;
using System.Collections.Generic;
using System.Threading;

namespace TexBridge
{
    // One link after the other: connect, greet, read, and again; what goes out, and what doesn't come.
    public sealed partial class TexBridgeClient
    {
        const int FirstRetryMs = 50;
        const int LastRetryMs = 2000;
        const int SessionLivesMs = 30000;
        const int PingAfterMs = 15000;
        const int MostEvents = 1024;

        readonly MsgPackReader reader = new MsgPackReader();
        readonly PartAssembler parts = new PartAssembler(LinkTransport.LargestMessage);
        readonly Dictionary<ulong, Ask> asks = new Dictionary<ulong, Ask>();
        readonly Dictionary<string, RunHandle> runs = new Dictionary<string, RunHandle>();
        readonly Dictionary<uint, FrameStream> byNumber = new Dictionary<uint, FrameStream>();
        readonly ManualResetEvent stop = new ManualResetEvent(false);
        readonly ManualResetEvent greeted = new ManualResetEvent(false);
        LinkTransport transport;
        LinkTransport opening;
        Thread thread;
        Timer timer;
        Exception fatal;
        ulong nextId = 1;
        int lastHeard;
        int lastPing;
        int cutSince;
        bool stopped;

        /// <summary>Messages that could not be read, and were dropped.</summary>
        public long Malformed { get; private set; }

        /// <summary>Begin to connect, on a thread of its own.</summary>
        public void Start()
        {
            lock (gate)
            {
                if (thread != null || stopped) return;
                cutSince = Environment.TickCount;
                thread = new Thread(Loop) { IsBackground = true, Name = "texbridge read" };
                thread.Start();
                timer = new Timer(state => Look(), null, 500, 500);
            }
        }

        /// <summary>Wait for a link; false: none in time, or it is over for good.</summary>
        public bool WaitConnected(int timeoutMs)
        {
            return greeted.WaitOne(timeoutMs) && IsConnected;
        }

        /// <summary>End the link and its threads; what waits fails. Safe to call twice.</summary>
        public void Dispose()
        {
            Thread ending;
            LinkTransport old;
            lock (gate)
            {
                stopped = true;
                stop.Set();
                old = transport ?? opening;
                ending = thread;
                thread = null;
                if (timer != null) timer.Dispose();
            }
            if (old != null) old.Dispose();
            if (ending != null && ending != Thread.CurrentThread) ending.Join(5000);
            GiveUp(new LinkLostException("the client is closed"));
        }

        void Loop()
        {
            var random = new Random();
            var delay = FirstRetryMs;
            while (!stopped)
            {
                Exception why;
                try
                {
                    why = OneLink();
                }
                catch (Exception error)
                {
                    why = error;
                }
                if (stopped) return;
                bool wasGreeted;
                lock (gate) wasGreeted = Cut();
                var refusal = why as ProtocolException;
                var final = refusal != null && !refusal.MayPass;
                if (wasGreeted || final)
                    Tell(new LinkEvent { Kind = LinkEventKind.Disconnected, Error = why, IsFinal = final });
                if (final)
                {
                    Fault = why;
                    GiveUp(why);
                    return;
                }
                if (wasGreeted) delay = FirstRetryMs;
                if (stop.WaitOne((int)(delay * (0.5 + random.NextDouble() / 2)))) return;
                delay = Math.Min(delay * 2, LastRetryMs);
            }
        }

        // One link from its beginning to its end; gives why it ended.
        Exception OneLink()
        {
            var link = LinkTransport.Open(address, options.TimeoutMs, stop);
            try
            {
                lock (gate)
                {
                    if (stopped) return null;
                    opening = link;
                    fatal = null;
                    parts.Reset();
                    lastHeard = Environment.TickCount;
                    Begin();
                    EngineMessages.Hello(writer, nextId++, new HelloOptions
                    {
                        Client = options.Client,
                        Token = string.IsNullOrEmpty(options.Token) ? null : options.Token,
                        Session = Welcome == null ? null : Welcome.Session,
                        MaxMessageBytes = options.MaxMessageBytes,
                        SharedMemory = options.SharedMemory ? true : (bool?)null,
                        Events = options.LiveEvents ? new[] { "live" } : null,
                    });
                    link.Send(writer.Bytes, writer.Count);
                }
                link.ReadAll(this);
                return null;
            }
            catch (Exception error)
            {
                return fatal ?? error; // the bridge's own words, said just before it closed
            }
            finally
            {
                link.Dispose();
                link.Join(1000);
            }
        }

        // --- under the gate

        void Begin()
        {
            writer.Clear();
        }

        // The writer holds a message with `nextId`: send it, now or with the next link.
        void Queue(Ask ask)
        {
            ask.Id = nextId++;
            ask.Begun = Environment.TickCount;
            if (Fault != null || stopped)
            {
                ask.OnError(Fault ?? new LinkLostException("the client is closed"));
                return;
            }
            ask.Data = writer.ToArray();
            if (!Fits(ask.Op))
            {
                ask.OnError(new ProtocolException(ProtocolException.MessageTooLarge,
                    ask.Op + " of " + writer.Count + " bytes is over the bridge's limit", "message_too_large"));
                return;
            }
            asks[ask.Id] = ask;
            Send(ask);
        }

        void Send(Ask ask)
        {
            if (transport == null) return;
            ask.Sent = true;
            ask.Begun = Environment.TickCount;
            transport.Send(ask.Data, ask.Data.Length);
        }

        bool Fits(string op)
        {
            if (Welcome == null || (ulong)writer.Count <= Welcome.MaxMessageBytes) return true;
            Tell(new LinkEvent
            {
                Kind = LinkEventKind.Error,
                Error = new ProtocolException(ProtocolException.MessageTooLarge,
                    op + " of " + writer.Count + " bytes is over the bridge's limit of " + Welcome.MaxMessageBytes,
                    "message_too_large"),
            });
            return false;
        }

        bool Cut()
        {
            var was = transport != null;
            transport = null;
            opening = null;
            greeted.Reset();
            if (was) cutSince = Environment.TickCount;
            return was;
        }

        // --- timer: silence, answers that don't come, sessions that are over

        void Look()
        {
            List<Ask> late = null;
            List<RunHandle> lost = null;
            LinkTransport mute = null;
            var now = Environment.TickCount;
            lock (gate)
            {
                if (stopped) return;
                var over = transport == null && unchecked(now - cutSince) > SessionLivesMs;
                foreach (var ask in asks.Values)
                {
                    if (ask.IsSticky) continue;
                    var limit = ask.Sent && transport != null ? options.TimeoutMs : SessionLivesMs;
                    if (unchecked(now - ask.Begun) > limit) (late ?? (late = new List<Ask>())).Add(ask);
                }
                if (late != null) foreach (var ask in late) asks.Remove(ask.Id);
                if (over) // what was never sent still waits for a link
                    foreach (var run in runs.Values)
                        if (run.Ask.Sent) (lost ?? (lost = new List<RunHandle>())).Add(run);
                if (lost != null)
                    foreach (var run in lost)
                    {
                        runs.Remove(run.Key);
                        asks.Remove(run.Ask.Id);
                    }
                var silent = unchecked(now - Volatile.Read(ref lastHeard));
                if (transport != null && silent > PingAfterMs * 2) mute = transport;
                else if (transport != null && silent > PingAfterMs && unchecked(now - lastPing) > PingAfterMs)
                {
                    lastPing = now;
                    Begin();
                    EngineMessages.Bare(writer, 0, "ping");
                    transport.Send(writer.Bytes, writer.Count);
                }
                else if (transport == null && opening != null && silent > options.TimeoutMs) mute = opening;
            }
            if (mute != null) mute.Dispose();
            if (late != null)
                foreach (var ask in late) ask.OnError(new TimeoutException(ask.Op + ": no answer in time"));
            if (lost != null)
                foreach (var run in lost) run.Fail(new LinkLostException("no link for longer than a session lives"));
        }

        void GiveUp(Exception error)
        {
            List<Ask> waiting;
            List<RunHandle> unfinished;
            List<FrameStream> ending;
            lock (gate)
            {
                Cut();
                waiting = new List<Ask>(asks.Values);
                unfinished = new List<RunHandle>(runs.Values);
                ending = new List<FrameStream>(streams);
                asks.Clear();
                runs.Clear();
                streams.Clear();
                byNumber.Clear();
            }
            foreach (var ask in waiting) ask.OnError(error);
            foreach (var run in unfinished) run.Fail(error);
            foreach (var frames in ending)
            {
                frames.Fail(error);
                frames.UseMemory(null);
            }
        }

        internal void Tell(LinkEvent happened)
        {
            lock (events)
            {
                if (events.Count >= MostEvents) events.Dequeue();
                events.Enqueue(happened);
            }
        }
    }
}
