using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace TexBridge
{
    /// <summary>The frames of one subscription. `latest`: three sets, of which the newest can be taken. `lossless` and
    /// `paced`: a queue of sets in their order. Buffers go round: nothing is allocated once they are large enough.
    /// All methods may be called from any thread; a taken set belongs to the taker until the next is taken.</summary>
    public sealed class FrameStream : IDisposable
    {
        // Held sets cost no credit, so a few may come on top of it.
        const int MostHeld = 16;

        readonly TexBridgeClient client;
        readonly object gate = new object();
        readonly Queue<FrameSet> queue = new Queue<FrameSet>();
        readonly Stack<FrameSet> free = new Stack<FrameSet>();
        readonly TaskCompletionSource<bool> subscribed =
            new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        FrameSet writing = new FrameSet();
        FrameSet ready = new FrameSet();
        FrameSet reading = new FrameSet();
        bool hasReady;
        bool ackDue;
        uint ackNumber;
        uint lastNumber;
        uint newestKept; // of a queue: the highest that came, but for held ones
        ulong wanted;
        bool hasWanted;
        string wantedKey;
        bool lostWanted;
        bool disposed;
        int generation; // of the numbers: a subscription that is said anew begins them anew

        /// <summary>The stream's name.</summary>
        public readonly string Name;

        public SubscribeOptions Options { get; private set; }

        /// <summary>The stream's number, 0 before `Subscribed`.</summary>
        public uint Number { get; internal set; }

        /// <summary>Ends when the bridge has answered; fails with its error.</summary>
        public Task Subscribed { get { return subscribed.Task; } }

        /// <summary>Sets that came whole; those that were replaced before they were taken; those that the bridge wrote over
        /// in shared memory before they were copied; frames by shared memory.</summary>
        public long Came, Replaced, Torn, FromMemory;

        /// <summary>Told on the link's thread whenever a set can be taken. Return at once.</summary>
        public event Action Arrived;

        /// <summary>The newest `subscribe` that was said, or waits for a link.</summary>
        internal Ask Ask;

        readonly object memoryGate = new object();
        SharedMemoryReader memory;

        /// <summary>Why no frames will come: the bridge refused, or the client is closed; null as long as they may.</summary>
        public Exception Fault { get; private set; }

        internal FrameStream(TexBridgeClient client, string name, SubscribeOptions options)
        {
            this.client = client;
            Name = name;
            Options = options;
        }

        /// <summary>Tell the bridge that the newest set is wanted now. Call it at the start of the engine's frame, and
        /// `TryTake` at its end: what is shown is then a few milliseconds old. Does nothing where nothing is due, and
        /// nothing in `lossless` and `paced`, whose sets are acked as they are taken.</summary>
        public void Ready()
        {
            if (Options.KeepsEverySet) return;
            uint number;
            lock (gate)
            {
                if (!ackDue) return;
                ackDue = false;
                number = ackNumber;
            }
            client.SendAck(Number, number);
        }

        /// <summary>Take the newest set (the oldest in `lossless` and `paced`), if there is one that wasn't taken.</summary>
        public bool TryTake(out FrameSet set)
        {
            uint number;
            bool ack;
            lock (gate)
            {
                if (!Take())
                {
                    set = null;
                    return false;
                }
                set = reading;
                // A held set's ack would stand for sets before it that are still to come.
                ack = Options.KeepsEverySet ? Acks(set) && !set.IsHeld && set.Generation == generation : ackDue;
                number = Options.KeepsEverySet ? set.Number : ackNumber;
                if (ack) ackNumber = number;
                ackDue = false;
            }
            if (ack) client.SendAck(Number, number);
            return true;
        }

        /// <summary>Wait for a set, and take it.</summary>
        /// <exception cref="TimeoutException">None came in time.</exception>
        public FrameSet Next(int timeoutMs)
        {
            var since = Environment.TickCount;
            Ready();
            while (true)
            {
                FrameSet set;
                if (TryTake(out set)) return set;
                lock (gate)
                {
                    if (Fault != null) throw Fault;
                    if (!hasReady && queue.Count == 0) Wait(since, timeoutMs, "any kind");
                }
            }
        }

        /// <summary>Ask for the picture of one index of a recording, wait for it and take it: the engine's time stands still
        /// meanwhile. The stream should be `oneshot`. A picture that a cut or a restart of the bridge took away is asked
        /// for again within the time limit. `values` hold from then on.</summary>
        /// <exception cref="TimeoutException">It did not come in time.</exception>
        /// <exception cref="ProtocolException">The bridge refused, or the request failed: the index has no picture.</exception>
        public FrameSet RequestAndWait(int index, int timeoutMs, ParameterSet values = null, ulong? seed = null)
        {
            var since = Environment.TickCount;
            var what = "index " + index;
            for (var attempt = 0; ; attempt++)
            {
                var key = client.NextKey() + "/" + index + "/" + attempt;
                lock (gate)
                {
                    hasWanted = false;
                    wantedKey = key;
                    lostWanted = false;
                    wanted = 0;
                }
                Ready();
                var run = client.Run(Name, values, new RunOptions { Key = key, Seed = seed }, Want);
                try
                {
                    while (true)
                    {
                        FrameSet set;
                        if (TakeWanted(out set)) return set;
                        Exception error;
                        lock (gate)
                        {
                            if (Fault != null) throw Fault;
                            error = run.Error;
                            // Somebody else's newer set took its place before it was sent.
                            if (run.Number > 0 && lastNumber > run.Number && !(hasReady && IsWanted(ready)))
                                lostWanted = true;
                            if (error == null && !lostWanted && !HasNews())
                                Wait(since, timeoutMs, what);
                            if (lostWanted) break; // or written over in shared memory: once more
                        }
                        if (run.IsLostWithTheBridge) break;
                        if (error != null) throw error;
                    }
                }
                finally
                {
                    lock (gate)
                    {
                        hasWanted = false;
                        wantedKey = null;
                    }
                }
                if (Elapsed(since) >= timeoutMs)
                    throw new TimeoutException("no picture of " + what + " of " + Name + " in " + timeoutMs + " ms");
            }
        }

        /// <summary>Wait until a set may be taken, if that is wanted, or something else has happened to the stream or its
        /// requests.</summary>
        internal void WaitForNews(int timeoutMs, bool forSets)
        {
            lock (gate)
            {
                if (Fault == null && !disposed && !(forSets && HasNews())) Monitor.Wait(gate, timeoutMs);
            }
        }

        /// <summary>No more frames of this stream.</summary>
        public void Dispose()
        {
            lock (gate)
            {
                if (disposed) return;
                disposed = true;
                Monitor.PulseAll(gate);
            }
            client.Unsubscribe(this);
            UseMemory(null);
        }

        // --- for the client, on the link's thread

        /// <summary>The subscription holds, on this link.</summary>
        internal void Restart(uint number, Map answer)
        {
            lock (gate)
            {
                Number = number;
                writing.Clear();
                ackDue = false;
                lastNumber = ackNumber = newestKept = 0;
                generation++;
            }
            if (!answer.Flag("shared_memory")) UseMemory(null);
            subscribed.TrySetResult(true);
        }

        /// <summary>The next doorbells point into this file; null: into none.</summary>
        internal void UseMemory(SharedMemoryReader file)
        {
            lock (memoryGate)
            {
                if (memory != null) memory.Dispose();
                memory = file;
            }
        }

        internal void Fail(Exception error)
        {
            lock (gate)
            {
                Fault = error;
                Monitor.PulseAll(gate);
            }
            subscribed.TrySetException(error);
        }

        /// <summary>A run's end or failure may be what somebody waits for.</summary>
        internal void Wake()
        {
            lock (gate) Monitor.PulseAll(gate);
        }

        internal void Add(ref FrameHeader header, ref byte[] buffer)
        {
            var frame = writing.Add(ref header);
            var free = frame.Bytes;
            frame.Bytes = buffer;
            frame.PayloadOffset = header.HeaderBytes;
            buffer = free;
            if (header.IsLastOfSet || header.IsPreview) Publish();
        }

        internal void AddDoorbell(ref FrameHeader header)
        {
            var frame = writing.Add(ref header);
            if (frame.Bytes.Length < header.PayloadBytes) frame.Bytes = new byte[header.PayloadBytes];
            frame.PayloadOffset = 0;
            var copied = false;
            try
            {
                lock (memoryGate) copied = memory != null && memory.Copy(ref header, frame.Bytes);
                if (copied) FromMemory++;
            }
            finally
            {
                if (!copied) writing.Tear();
                if (header.IsLastOfSet || header.IsPreview) Publish();
            }
        }

        void Publish()
        {
            var set = writing;
            if (set.IsTorn)
            {
                Torn++;
                lock (gate)
                {
                    if (hasWanted && set.Request == wanted) lostWanted = true;
                    Monitor.PulseAll(gate);
                }
                if (Acks(set)) client.SendAck(Number, set.Number); // the ack frees the slot
                set.Clear();
                return;
            }
            if (Options.KeepsEverySet && IsRepeated(set)) return;
            Came++;
            lock (gate)
            {
                set.Generation = generation;
                set.Epoch = client.Epoch;
                if (Acks(set)) lastNumber = set.Number;
                if (Options.KeepsEverySet) Enqueue(set);
                else
                {
                    if (Acks(set))
                    {
                        ackDue = true;
                        ackNumber = set.Number;
                    }
                    // Whoever waits for one request is given that one, whatever comes behind it.
                    if (hasReady && IsWanted(ready) && !IsWanted(set)) Replaced++;
                    else Swap(set);
                }
                Monitor.PulseAll(gate);
            }
            writing.Clear();
            var told = Arrived;
            if (told == null) return;
            try
            {
                told();
            }
            catch (Exception error) // somebody else's fault must not cost the link
            {
                client.Tell(new LinkEvent { Kind = LinkEventKind.Error, Error = error });
            }
        }

        // After a cut the bridge goes on with the first set that it has no ack of: that one may have been taken already.
        bool IsRepeated(FrameSet set)
        {
            uint again;
            lock (gate)
            {
                if (!Acks(set) || set.IsHeld || set.Number > newestKept) return false;
                again = set.Number <= ackNumber ? ackNumber : 0;
            }
            if (again > 0) client.SendAck(Number, again);
            writing.Clear();
            return true;
        }

        void Enqueue(FrameSet set)
        {
            if (Acks(set) && !set.IsHeld) newestKept = set.Number;
            queue.Enqueue(set);
            if (queue.Count > Options.Credit + MostHeld)
            {
                free.Push(queue.Dequeue());
                Replaced++;
            }
            writing = free.Count > 0 ? free.Pop() : new FrameSet();
        }

        void Swap(FrameSet set)
        {
            if (hasReady) Replaced++;
            writing = ready;
            ready = set;
            hasReady = true;
        }

        static bool Acks(FrameSet set)
        {
            return set.Number > 0 && !set.IsPreview;
        }

        // Under the gate.
        bool Take()
        {
            if (Options.KeepsEverySet)
            {
                if (queue.Count == 0) return false;
                reading.Clear();
                free.Push(reading);
                reading = queue.Dequeue();
                return true;
            }
            if (!hasReady) return false;
            var before = reading;
            reading = ready;
            ready = before;
            ready.Clear();
            hasReady = false;
            return true;
        }

        // Under the gate: whether there is something to do before waiting on.
        bool HasNews()
        {
            return Options.KeepsEverySet ? queue.Count > 0 : ackDue || (hasReady && IsWanted(ready));
        }

        // A held set is the picture of its request too: it comes again after a cut.
        bool IsWanted(FrameSet set)
        {
            return hasWanted && set.Request == wanted && (set.IsLastSet || set.IsHeld) && !set.IsPreview;
        }

        void Want(RunHandle run)
        {
            lock (gate)
            {
                // After a cut the run before this one may be said again, and is accepted again.
                if (run.Key != wantedKey) return;
                wanted = run.Request;
                hasWanted = true;
                Monitor.PulseAll(gate);
            }
        }

        bool TakeWanted(out FrameSet set)
        {
            set = null;
            if (Options.KeepsEverySet)
            {
                while (TryTake(out set))
                    lock (gate) if (IsWanted(set)) return true;
                return false;
            }
            bool found;
            lock (gate) found = hasReady && IsWanted(ready);
            if (found) return TryTake(out set);
            Ready(); // what came before it must not hold up the credit
            return false;
        }

        // Under the gate.
        void Wait(int since, int timeoutMs, string what)
        {
            if (disposed) throw new ObjectDisposedException(Name);
            var left = timeoutMs - Elapsed(since);
            if (left <= 0) throw new TimeoutException("no picture of " + what + " of " + Name + " in " + timeoutMs + " ms");
            Monitor.Wait(gate, left);
        }

        static int Elapsed(int since)
        {
            return unchecked(Environment.TickCount - since);
        }
    }
}
