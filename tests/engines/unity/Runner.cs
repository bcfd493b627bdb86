using System;

namespace TexBridge.Check
{
    public static class Runner
    {
        public static int Main(string[] arguments)
        {
            switch (arguments[0])
            {
                case "vectors": return Vectors.Run(arguments[1]);
                case "record":
                    return Frames.Record(arguments[1], int.Parse(arguments[2]), arguments[3],
                        arguments[4] == "memory", arguments.Length > 5 ? uint.Parse(arguments[5]) : 0);
                case "allocate":
                    return Frames.Allocate(arguments[1], int.Parse(arguments[2]), arguments[3] == "memory");
                default: throw new ArgumentException(arguments[0]);
            }
        }
    }
}
