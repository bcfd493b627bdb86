using System;
using System.Threading.Tasks;

namespace TexBridge
{
    /// <summary>A frame of a sequence could not be had; `InnerException` is why.</summary>
    public sealed class SequenceException : Exception
    {
        /// <summary>Which one: 0 for the first, whatever its number is.</summary>
        public int Index { get; private set; }

        public SequenceException(int index, string message, Exception inner) : base(message, inner)
        {
            Index = index;
        }
    }

    /// <summary>Many pictures along tracks, in order and complete: wait for each by its index. The bridge makes no more than
    /// its window ahead of who reads; a cut costs nothing, and from a bridge that was restarted the rest is asked for once
    /// more. All methods may be called from any thread, by one at a time.</summary>
    public sealed class Sequence : IDisposable
    {
        readonly TexBridgeClient client;
        readonly TrackSet tracks = new TrackSet();
        readonly SequenceOptions how;
        RunHandle run;
        FrameSet ahead;
        int next;
        int done; // frames of requests before this one: the bridge counts those of a request from 0
        int askedIn; // which of the client's sessions
        bool cancelled;
        bool disposed;

        /// <summary>How many there will be.</summary>
        public readonly int Count;

        /// <summary>The number of the first one.</summary>
        public readonly int First;

        /// <summary>The subscription that they come by. Take nothing from it as long as the sequence is not over.</summary>
        public readonly FrameStream Frames;

        /// <summary>The bridge's number for it, 0 before it was accepted.</summary>
        public ulong Request { get { return run.Request; } }

        /// <summary>Ends with the request's number; fails with the bridge's error, or LinkLostException.</summary>
        public Task<ulong> Accepted { get { return run.Accepted; } }

        /// <summary>Ends with the one terminal answer, whatever its outcome; fails if it was refused, or lost with the
        /// bridge. Of a sequence that was asked for again it is that of the newest request, for the rest.</summary>
        public Task<Finished> Finished { get { return run.Finished; } }

        internal Sequence(TexBridgeClient client, FrameStream frames, int count, TrackSet tracks, SequenceOptions how)
        {
            this.client = client;
            // The caller's may change before it is asked for again.
            this.tracks.Merge(tracks);
            this.how = how.Copy();
            Frames = frames;
            Count = count;
            First = how.First;
            AskForRest();
        }

        /// <summary>Wait for the frame of an index, and take it: it is valid until the next one is asked for. Ask in order;
        /// those that are passed over are thrown away, and an earlier one never comes again.</summary>
        /// <exception cref="SequenceException">It did not come in time, or never will: it says which, and why.</exception>
        public FrameSet WaitFor(int index, int timeoutMs)
        {
            if (index < 0 || index >= Count) throw new ArgumentOutOfRangeException("index");
            var since = Environment.TickCount;
            try
            {
                if (index < next) throw new InvalidOperationException("it was passed over: another one was asked for since");
                while (true)
                {
                    FrameSet set;
                    // Sets wait in the queue until it is known whose they are: `accepted` may be lost with a link.
                    if (run.Request > 0 && (ahead != null || Frames.TryTake(out ahead)))
                    {
                        set = ahead;
                        var isOurs = set.Request == run.Request && set.Epoch == run.Epoch
                            && !set.IsHeld && !set.IsPreview;
                        var place = done + (int)set.Index;
                        if (isOurs && place > index)
                            throw new InvalidOperationException(
                                "it was passed over: frame " + place + " is here; the stream was black, frozen or in panic");
                        ahead = null;
                        if (isOurs) next = place + 1;
                        if (isOurs && place == index) return set;
                        continue;
                    }
                    if (IsLostWithTheBridge) AskForRest();
                    var why = WhyNever(index);
                    if (why != null) throw why;
                    var left = timeoutMs - unchecked(Environment.TickCount - since);
                    if (left <= 0) throw new TimeoutException("it did not come in " + timeoutMs + " ms");
                    Frames.WaitForNews(Math.Min(left, 100), run.Request > 0);
                }
            }
            catch (Exception error)
            {
                throw new SequenceException(index, "frame " + (First + index) + " (" + (index + 1) + " of " + Count + ") of "
                    + Frames.Name + ": " + error.Message, error);
            }
        }

        /// <summary>Give a picture to one frame, for an image parameter that `SequenceOptions.Images` names. Fails with code
        /// 405 if it is too early: the bridge takes those of a few frames ahead of the last that came.</summary>
        public Task<bool> SendPicture(string parameter, int index, PictureValue picture)
        {
            return client.ImageOfFrame(Frames.Name, parameter, picture, run.Request, (uint)(index - done));
        }

        /// <summary>End it; the answer is how many requests that reached.</summary>
        public Task<int> Cancel()
        {
            cancelled = true;
            return client.Cancel(run.Request);
        }

        /// <summary>No more frames. What is left is cancelled.</summary>
        public void Dispose()
        {
            if (disposed) return;
            disposed = true;
            if (!run.Finished.IsCompleted && run.Request > 0) Cancel();
            Frames.Dispose();
        }

        // Pictures that went in frame by frame are lost with a bridge: nobody knows which are to be sent again.
        bool MayAskAgain
        {
            get { return (how.Images == null || how.Images.Length == 0) && !cancelled && !disposed && Frames.Fault == null; }
        }

        bool IsLostWithTheBridge
        {
            // One that is about to end would refuse: the next one is asked.
            get { return MayAskAgain && run.IsLostWithTheBridge && (!run.IsDraining || client.Epoch != askedIn); }
        }

        void AskForRest()
        {
            done = next;
            askedIn = client.Epoch;
            run = client.AskForSequence(Frames, Count, done, tracks, how);
        }

        // What was released before the end still comes, but for cancelled ones.
        Exception WhyNever(int index)
        {
            if (disposed) return new ObjectDisposedException("Sequence");
            if (Frames.Fault != null) return Frames.Fault;
            if (run.Error == null || (run.IsDraining && MayAskAgain)) return null;
            if (!run.Finished.IsCompleted || run.Finished.IsFaulted) return run.Error;
            var answer = run.Finished.Result;
            return answer.Outcome == "cancelled" || index - done >= answer.Frames ? run.Error : null;
        }
    }
}
