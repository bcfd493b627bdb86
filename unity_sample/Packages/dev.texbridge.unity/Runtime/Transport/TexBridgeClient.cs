using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace TexBridge
{
    /// <summary>A client of the engine link. It connects by itself, again and again; goes on with its session after a cut;
    /// and says again what it opened and subscribed to after the bridge was restarted. All methods may be called from any
    /// thread and return at once; their tasks end when the bridge has answered.</summary>
    public sealed partial class TexBridgeClient : IDisposable
    {
        readonly ClientOptions options;
        readonly LinkAddress address;
        readonly object gate = new object();
        readonly MsgPackWriter writer = new MsgPackWriter();
        readonly Queue<LinkEvent> events = new Queue<LinkEvent>();
        readonly Dictionary<string, OpenedStream> opened = new Dictionary<string, OpenedStream>();
        readonly Dictionary<string, ParameterSet> unsent = new Dictionary<string, ParameterSet>();
        readonly List<FrameStream> streams = new List<FrameStream>();
        long keys;

        /// <exception cref="ArgumentException">The address is none.</exception>
        public TexBridgeClient(ClientOptions options)
        {
            this.options = options;
            address = new LinkAddress(options.Address);
        }

        /// <summary>Whether there is a link now.</summary>
        public bool IsConnected { get { return transport != null; } }

        /// <summary>The newest greeting; null before the first.</summary>
        public Welcome Welcome { get; private set; }

        /// <summary>Why it is over for good (a wrong token, another language), or null.</summary>
        public Exception Fault { get; private set; }

        /// <summary>The next thing that happened; false: nothing.</summary>
        public bool TryTakeEvent(out LinkEvent happened)
        {
            lock (events)
            {
                happened = events.Count > 0 ? events.Dequeue() : null;
                return happened != null;
            }
        }

        /// <summary>Make a stream, or attach to it; made again by itself after a restart of the bridge.</summary>
        public Task<Opened> Open(string stream, string workflow, OpenOptions how = null)
        {
            how = how ?? new OpenOptions();
            var source = new TaskCompletionSource<Opened>(TaskCreationOptions.RunContinuationsAsynchronously);
            var kept = new OpenedStream(stream, workflow, how)
            {
                OnOpened = answer => source.TrySetResult(answer),
                OnError = error =>
                {
                    if (!source.TrySetException(error)) Tell(new LinkEvent { Kind = LinkEventKind.Error, Error = error });
                    else Forget(stream);
                },
            };
            lock (gate)
            {
                opened[stream] = kept;
                Begin();
                EngineMessages.Open(writer, nextId, stream, workflow, how);
                kept.Ask = kept.NewAsk();
                Queue(kept.Ask);
            }
            return source.Task;
        }

        /// <summary>Set values, without an answer: a refusal comes as an event. Without a link the values wait for it, each
        /// with its newest.</summary>
        public void Set(string stream, ParameterSet values, ulong clientTime = 0)
        {
            lock (gate)
            {
                Remember(stream, values);
                if (transport != null)
                {
                    Begin();
                    EngineMessages.Set(writer, 0, stream, values, clientTime);
                    if (Fits("set")) transport.Send(writer.Bytes, writer.Count);
                    return;
                }
                ParameterSet waiting;
                if (!unsent.TryGetValue(stream, out waiting)) unsent[stream] = waiting = new ParameterSet();
                waiting.Merge(values);
            }
        }

        /// <summary>Ask for one picture.</summary>
        public RunHandle Run(string stream, ParameterSet values = null, RunOptions how = null)
        {
            return Run(stream, values, how ?? new RunOptions(), null);
        }

        /// <summary>Ask for the frames of a stream; asked again by itself after a restart of the bridge.</summary>
        public FrameStream Subscribe(string stream, SubscribeOptions how = null)
        {
            var frames = new FrameStream(this, stream, how ?? new SubscribeOptions());
            lock (gate)
            {
                streams.Add(frames);
                SaySubscribe(frames);
            }
            return frames;
        }

        /// <summary>Give a picture to an image parameter. Nothing is waited for, and of many the newest is used: false means
        /// that this one was not sent, because there is no link or too much waits.</summary>
        public bool Image(string stream, string parameter, PictureValue picture, ulong clientTime = 0)
        {
            lock (gate)
            {
                if (transport == null) return false;
                Begin();
                EngineMessages.Image(writer, 0, stream, parameter, picture, clientTime);
                return Fits("image") && transport.Send(writer.Bytes, writer.Count);
            }
        }

        /// <summary>What a stream has: parameters with their values, outputs, mode, state.</summary>
        public Task<Described> DescribeStream(string stream)
        {
            return Answer("describe", "described", id => EngineMessages.DescribeStream(writer, id, stream),
                map => new Described(map));
        }

        /// <summary>What a workflow has.</summary>
        public Task<Described> DescribeWorkflow(string workflow)
        {
            return Answer("describe", "described", id => EngineMessages.DescribeWorkflow(writer, id, workflow),
                map => new Described(map));
        }

        /// <summary>End a request; the answer is how many it reached.</summary>
        public Task<int> Cancel(ulong request, bool all = false)
        {
            return Answer("cancel", "ok", id => EngineMessages.CancelRequest(writer, id, request, all),
                map => map.List("cancelled").Count);
        }

        /// <summary>End this client's requests of a stream (or everybody's); the answer is how many it reached.</summary>
        public Task<int> CancelStream(string stream, bool all = false)
        {
            return Answer("cancel", "ok", id => EngineMessages.CancelStream(writer, id, stream, all),
                map => map.List("cancelled").Count);
        }

        /// <summary>Answered after everything that was asked before.</summary>
        public Task<bool> Ping()
        {
            return Answer("ping", "pong", id => EngineMessages.Bare(writer, id, "ping"), map => true);
        }

        public Task<bool> Live(string stream, bool on, double fadeSeconds = 0)
        {
            lock (gate)
            {
                OpenedStream kept;
                if (opened.TryGetValue(stream, out kept)) kept.LiveOn = on;
            }
            return Switch("live", stream, on, fadeSeconds);
        }

        public Task<bool> Freeze(string stream, bool on, double fadeSeconds = 0)
        {
            return Switch("freeze", stream, on, fadeSeconds);
        }

        public Task<bool> Blackout(string stream, bool on, double fadeSeconds = 0)
        {
            return Switch("blackout", stream, on, fadeSeconds);
        }

        /// <summary>Everything stops now, for everybody.</summary>
        public Task<bool> Panic()
        {
            lock (gate) foreach (var kept in opened.Values) kept.LiveOn = false;
            return Answer("panic", "ok", id => EngineMessages.Bare(writer, id, "panic"), map => true);
        }

        /// <summary>The end of a panic.</summary>
        public Task<bool> Resume()
        {
            return Answer("resume", "ok", id => EngineMessages.Bare(writer, id, "resume"), map => true);
        }

        /// <summary>What this client's subscription was sent: see the page, `stats`.</summary>
        public Task<Map> Stats(string stream)
        {
            return Answer("stats", "stats", id => EngineMessages.OfStream(writer, id, "stats", stream), map => map);
        }

        /// <summary>This client is no longer attached to the stream.</summary>
        public Task<bool> Close(string stream)
        {
            Forget(stream);
            return Answer("close", "ok", id => EngineMessages.OfStream(writer, id, "close", stream), map => true);
        }

        /// <summary>A key that no request of this client has had.</summary>
        public string NextKey()
        {
            return "k" + Interlocked.Increment(ref keys);
        }

        internal RunHandle Run(string stream, ParameterSet values, RunOptions how, Action<RunHandle> onAccepted)
        {
            if (how.Key == null)
                how = new RunOptions
                {
                    Key = NextKey(), ClientTime = how.ClientTime, DeadlineMs = how.DeadlineMs, Priority = how.Priority,
                    Seed = how.Seed,
                };
            var run = new RunHandle(stream, how.Key) { OnAccepted = onAccepted };
            lock (gate)
            {
                Remember(stream, values);
                Begin();
                EngineMessages.Run(writer, nextId, stream, values, how);
                Ask(run, "run");
            }
            return run;
        }

        // Under the gate; the writer holds the message that makes a request.
        void Ask(RunHandle run, string op)
        {
            foreach (var frames in streams)
                if (frames.Name == run.Stream) run.Waiter = frames;
            run.Ask = new Ask
            {
                Op = op, Expects = "accepted",
                OnAnswer = map => run.Accept(map.Unsigned("request"), Epoch),
                OnError = error =>
                {
                    lock (gate) runs.Remove(run.Key);
                    run.Fail(error);
                },
            };
            runs[run.Key] = run;
            Queue(run.Ask);
        }

        internal void SendAck(uint stream, uint number)
        {
            lock (gate)
            {
                if (transport == null) return;
                Begin();
                EngineMessages.Ack(writer, stream, number);
                transport.Send(writer.Bytes, writer.Count);
            }
        }

        internal void Unsubscribe(FrameStream frames)
        {
            lock (gate)
            {
                if (!streams.Remove(frames)) return;
                byNumber.Remove(frames.Number);
                if (transport == null) return;
                Begin();
                EngineMessages.OfStream(writer, 0, "unsubscribe", frames.Name);
                transport.Send(writer.Bytes, writer.Count);
            }
        }

        Task<bool> Switch(string op, string stream, bool on, double fadeSeconds)
        {
            return Answer(op, "ok", id => EngineMessages.Switch(writer, id, op, stream, on, fadeSeconds), map => true);
        }

        Task<T> Answer<T>(string op, string expects, Action<ulong> write, Func<Map, T> read)
        {
            var source = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (gate)
            {
                Begin();
                write(nextId);
                Queue(new Ask
                {
                    Op = op, Expects = expects, OnAnswer = map => source.TrySetResult(read(map)),
                    OnError = error => source.TrySetException(error),
                });
            }
            return source.Task;
        }

        // Under the gate: the values are what a bridge that was restarted has to be told.
        void Remember(string stream, ParameterSet values)
        {
            OpenedStream kept;
            if (values != null && opened.TryGetValue(stream, out kept)) kept.Options.Params.Merge(values);
        }

        void Forget(string stream)
        {
            lock (gate) opened.Remove(stream);
        }
    }
}
