using System;

namespace TexBridge
{
    /// <summary>A stream that this client opened, as it has to be said again to a bridge that was restarted: with all the
    /// values set since.</summary>
    internal sealed class OpenedStream
    {
        public readonly string Name;
        public readonly string Workflow;
        public readonly OpenOptions Options;
        public bool? LiveOn;
        public Action<Opened> OnOpened;
        public Action<Exception> OnError;

        /// <summary>The newest `open` that was said, or waits for a link.</summary>
        public Ask Ask;

        public OpenedStream(string name, string workflow, OpenOptions options)
        {
            Name = name;
            Workflow = workflow;
            Options = new OpenOptions
            {
                Mode = options.Mode,
                Params = new ParameterSet(),
                SeedPolicy = options.SeedPolicy,
                MaxFps = options.MaxFps,
                Width = options.Width,
                Height = options.Height,
                Aspect = options.Aspect,
                Megapixels = options.Megapixels,
            };
            Options.Params.Merge(options.Params);
        }

        public Ask NewAsk()
        {
            return new Ask
            {
                Op = "open", Expects = "opened", IsSticky = true, OnAnswer = map => OnOpened(new Opened(map)),
                OnError = OnError,
            };
        }
    }
}
