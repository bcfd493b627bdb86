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
                default: throw new ArgumentException(arguments[0]);
            }
        }
    }
}
