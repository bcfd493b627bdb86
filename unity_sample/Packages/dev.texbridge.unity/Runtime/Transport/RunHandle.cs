using System;
using System.Threading;
using System.Threading.Tasks;

namespace TexBridge
{
    /// <summary>A request that was asked for. Its key makes it safe over cuts: said again, it makes nothing twice.</summary>
    public sealed class RunHandle
    {
        readonly TaskCompletionSource<ulong> accepted =
            new TaskCompletionSource<ulong>(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly TaskCompletionSource<Finished> finished =
            new TaskCompletionSource<Finished>(TaskCreationOptions.RunContinuationsAsynchronously);

        internal Ask Ask;
        internal Action<RunHandle> OnAccepted;
        internal FrameStream Waiter;

        public readonly string Stream;
        public readonly string Key;

        /// <summary>The bridge's number for it, 0 before it was accepted.</summary>
        public ulong Request { get; private set; }

        /// <summary>Ends with the request's number; fails with the bridge's error, or LinkLostException.</summary>
        public Task<ulong> Accepted { get { return accepted.Task; } }

        /// <summary>Ends with the one terminal answer, whatever its outcome; fails if it was refused, or lost with the
        /// bridge.</summary>
        public Task<Finished> Finished { get { return finished.Task; } }

        /// <summary>Why there will be no picture, or null as long as there may be one.</summary>
        public Exception Error { get; private set; }

        /// <summary>The bridge is gone or about to go, and another may be asked; or there was no link for as long as an unsent
        /// question is kept.</summary>
        internal bool IsLostWithTheBridge
        {
            get { return Error is LinkLostException || IsDraining || (Error is TimeoutException && !Ask.Sent); }
        }

        internal bool IsDraining
        {
            get
            {
                var refusal = Error as ProtocolException;
                return refusal != null && refusal.Code == ProtocolException.Draining;
            }
        }

        /// <summary>The session in which it was accepted, see `TexBridgeClient.Epoch`.</summary>
        internal int Epoch { get; private set; }

        /// <summary>The number of its last set, once it is done; 0: none, or not yet.</summary>
        internal uint Number { get; private set; }

        internal RunHandle(string stream, string key)
        {
            Stream = stream;
            Key = key;
        }

        internal void Accept(ulong request, int epoch)
        {
            BelongsTo(request, epoch);
            if (OnAccepted != null) OnAccepted(this);
            accepted.TrySetResult(request);
            if (Waiter != null) Waiter.Wake();
        }

        internal void Finish(Finished answer, int epoch)
        {
            BelongsTo(answer.Request, epoch);
            accepted.TrySetResult(answer.Request);
            Number = answer.Number;
            if (!answer.IsDone)
                Error = new ProtocolException(
                    answer.Code, "request " + answer.Request + " " + answer.Outcome + ": " + answer.Message, answer.Name);
            finished.TrySetResult(answer);
            if (Waiter != null) Waiter.Wake();
        }

        internal void Fail(Exception error)
        {
            Error = error;
            accepted.TrySetException(error);
            finished.TrySetException(error);
            Observe(accepted.Task.Exception);
            Observe(finished.Task.Exception);
            if (Waiter != null) Waiter.Wake();
        }

        void BelongsTo(ulong request, int epoch)
        {
            Epoch = epoch;
            Thread.MemoryBarrier(); // who sees the number sees whose it is
            Request = request;
        }

        // Looking at it makes it a seen one: nobody has to wait for every task.
        static void Observe(Exception error)
        {
        }
    }

    /// <summary>A message that waits for its answer; kept, so that it can be said again after a cut.</summary>
    internal sealed class Ask
    {
        public ulong Id;
        public string Op;
        public byte[] Data;
        public int Begun;
        public bool Sent;

        /// <summary>`open` and `subscribe`: said again by themselves to a bridge that was restarted.</summary>
        public bool IsSticky;

        /// <summary>The `op` of the right answer.</summary>
        public string Expects;

        public Action<Map> OnAnswer;
        public Action<Exception> OnError;
    }
}
