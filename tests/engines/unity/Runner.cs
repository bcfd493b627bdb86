using System;
using System.Reflection;
using NUnit.Framework;

namespace TexBridge.Check
{
    public static class Runner
    {
        // The package's own NUnit tests, as Unity's test runner would run them.
        static int OwnTests(string assembly)
        {
            int passed = 0, failed = 0;
            foreach (var type in Assembly.LoadFrom(assembly).GetTypes())
                foreach (var method in type.GetMethods())
                {
                    if (method.GetCustomAttributes(typeof(TestAttribute), false).Length == 0) continue;
                    try
                    {
                        method.Invoke(Activator.CreateInstance(type), null);
                        passed++;
                    }
                    catch (TargetInvocationException error)
                    {
                        failed++;
                        Console.WriteLine(type.Name + "." + method.Name + ": " + error.InnerException);
                    }
                }
            Console.WriteLine(passed + " passed, " + failed + " failed");
            return passed > 0 && failed == 0 ? 0 : 1;
        }

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
                case "greet": return Peers.Greet(arguments[1]);
                case "take": return Peers.Take(arguments[1], arguments[2], int.Parse(arguments[3]));
                case "stress": return Peers.Stress(int.Parse(arguments[1]));
                case "memory": return Peers.Memory(arguments[1]);
                case "tests": return OwnTests(arguments[1]);
                case "live": return Play.Live(arguments[1], arguments[2]);
                case "demo": return Play.Demo(arguments[1], arguments[2]);
                case "osc": return Play.Osc(arguments[1], int.Parse(arguments[2]));
                case "card": return Play.Card(arguments[1], arguments[2]);
                case "camera": return Play.Camera(arguments[1], arguments[2]);
                case "locked": return Play.Locked(arguments[1], arguments[2]);
                case "unanswered": return Play.Unanswered(arguments[1]);
                case "sequence": return Sequences.Client(arguments[1], arguments[2]);
                case "recorder": return Sequences.Recorder(arguments[1], arguments[2]);
                case "curves": return Sequences.Curves(arguments[1], arguments[2]);
                case "sequence-sample": return Sequences.Sample(arguments[1], arguments[2]);
                case "sequence-fault": return Sequences.Fault(arguments[1], arguments[2]);
                case "pictures": return Sequences.Pictures(arguments[1]);
                case "blend": return Sequences.Blend(
                    arguments[1], float.Parse(arguments[2], System.Globalization.CultureInfo.InvariantCulture));
                case "walk": return Walk.Run(arguments[1], arguments);
                case "shaders": return Sequences.Shaders();
                case "window": return Play.Window(arguments[1]);
                default: throw new ArgumentException(arguments[0]);
            }
        }
    }
}
