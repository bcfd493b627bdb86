// What the package's own tests use of NUnit.
using System;

namespace NUnit.Framework
{
    [AttributeUsage(AttributeTargets.Method)]
    public sealed class TestAttribute : Attribute { }

    public static class Assert
    {
        public static void AreEqual(object expected, object actual)
        {
            if (!Equals(expected, actual)) throw new Exception("expected " + expected + ", was " + actual);
        }

        public static void IsTrue(bool condition)
        {
            if (!condition) throw new Exception("expected true");
        }

        public static T Throws<T>(Action code) where T : Exception
        {
            try
            {
                code();
            }
            catch (T error)
            {
                return error;
            }
            throw new Exception("nothing was thrown");
        }
    }
}
