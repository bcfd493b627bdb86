// Reads protocols/vectors/**/*.hex, from the page beside them.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;

namespace TexBridge.Check
{
    public sealed class VectorFile
    {
        public readonly string Name;
        public bool IsError;
        public int Code;
        public bool IsCanonical;
        public string Direction = "";
        public bool IsForBridges;
        public readonly List<int> Cuts = new List<int>();
        public readonly Dictionary<string, long> Limits = new Dictionary<string, long>();

        /// <summary>PATH = VALUE: long, ulong, double, bool, null, string, byte[], or "{}" and "[]" as Empty.</summary>
        public readonly Dictionary<string, object> Values = new Dictionary<string, object>();

        public readonly List<byte[]> Items = new List<byte[]>();

        public sealed class Empty
        {
        }

        public VectorFile(string path)
        {
            Name = Path.GetFileName(Path.GetDirectoryName(path)) + "/" + Path.GetFileNameWithoutExtension(path);
            var item = new List<byte>();
            var expected = false;
            foreach (var line in File.ReadAllLines(path, Encoding.UTF8))
            {
                if (line.StartsWith("#: ")) expected |= Directive(line.Substring(3));
                else if (line.Trim() == "---")
                {
                    Items.Add(item.ToArray());
                    item = new List<byte>();
                }
                else Bytes(line, item);
            }
            Items.Add(item.ToArray());
            if (!expected) throw new FormatException(Name + ": no expect");
        }

        bool Directive(string text)
        {
            if (text.StartsWith("expect ok")) return true;
            if (text.StartsWith("expect error "))
            {
                IsError = true;
                Code = int.Parse(text.Split(' ')[2]);
                return true;
            }
            if (text.StartsWith("shows ")) return false;
            if (text == "canonical") IsCanonical = true;
            else if (text.StartsWith("direction ")) Direction = text.Substring(10);
            else if (text == "reader bridge") IsForBridges = true;
            else if (text.StartsWith("cut "))
                foreach (var word in text.Substring(4).Split(' ')) Cuts.Add(int.Parse(word));
            else
            {
                var equals = text.IndexOf(" = ", StringComparison.Ordinal);
                if (equals < 0) throw new FormatException(Name + ": " + text);
                var path = text.Substring(0, equals);
                var value = text.Substring(equals + 3);
                if (path.StartsWith("limit ")) Limits[path.Substring(6)] = long.Parse(value);
                else Values.Add(path, Value(value));
            }
            return false;
        }

        static object Value(string text)
        {
            if (text == "true") return true;
            if (text == "false") return false;
            if (text == "null") return null;
            if (text == "{}" || text == "[]") return new Empty();
            if (text.StartsWith("h'")) return Hex(text.Substring(2, text.Length - 3));
            if (text[0] == '"') return Unescape(text.Substring(1, text.Length - 2));
            if (text.IndexOf('.') >= 0 || text.IndexOf('e') >= 0)
                return double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);
            long number;
            if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number)) return number;
            return ulong.Parse(text, CultureInfo.InvariantCulture);
        }

        static string Unescape(string text)
        {
            var plain = new StringBuilder();
            for (var at = 0; at < text.Length; at++)
            {
                if (text[at] != '\\')
                {
                    plain.Append(text[at]);
                    continue;
                }
                var letter = text[++at];
                if (letter == 'u')
                {
                    plain.Append((char)int.Parse(text.Substring(at + 1, 4), NumberStyles.HexNumber));
                    at += 4;
                }
                else
                {
                    var place = "bfnrt".IndexOf(letter);
                    plain.Append(place < 0 ? letter : "\b\f\n\r\t"[place]);
                }
            }
            return plain.ToString();
        }

        void Bytes(string line, List<byte> item)
        {
            for (var at = 0; at < line.Length;)
            {
                if (line[at] == '#') return;
                if (line[at] == ' ' || line[at] == '\t')
                {
                    at++;
                    continue;
                }
                if (line[at] == '"')
                {
                    var close = line.IndexOf('"', at + 1);
                    item.AddRange(Encoding.ASCII.GetBytes(line.Substring(at + 1, close - at - 1)));
                    at = close + 1;
                    continue;
                }
                var end = at;
                while (end < line.Length && line[end] != ' ' && line[end] != '\t') end++;
                var token = line.Substring(at, end - at).Split('*');
                var bytes = Hex(token[0]);
                for (var times = token.Length > 1 ? int.Parse(token[1]) : 1; times > 0; times--) item.AddRange(bytes);
                at = end;
            }
        }

        static byte[] Hex(string text)
        {
            var bytes = new byte[text.Length / 2];
            for (var place = 0; place < bytes.Length; place++)
                bytes[place] = byte.Parse(text.Substring(place * 2, 2), NumberStyles.HexNumber);
            return bytes;
        }

        /// <summary>Whether a value that came out is the one that is wanted; a bool is no number, and 3 is 3.0.</summary>
        public static bool Same(object wanted, object found)
        {
            if (wanted == null || found == null) return wanted == null && found == null;
            if (wanted is Empty) return found is Empty;
            if (wanted is string) return (string)wanted == (found is char ? found.ToString() : Map.AsText(found));
            if (wanted is byte[]) return found is byte[] && Equal((byte[])wanted, (byte[])found);
            if (wanted is bool || found is bool) return wanted is bool && found is bool && (bool)wanted == (bool)found;
            if (found is string || found is byte[] || found is Empty) return false;
            if (wanted is double || found is double || found is float)
                return Convert.ToDouble(wanted) == Convert.ToDouble(found);
            return Convert.ToDecimal(wanted) == Convert.ToDecimal(found);
        }

        public static bool Equal(byte[] left, byte[] right)
        {
            if (left == null || right == null || left.Length != right.Length) return false;
            for (var place = 0; place < left.Length; place++)
                if (left[place] != right[place]) return false;
            return true;
        }

        public static void Flatten(object value, string path, Dictionary<string, object> leaves)
        {
            var before = path.Length > 0 ? path + "." : "";
            var map = value as Map;
            var list = value as List<object>;
            if (map != null && map.Count > 0)
                foreach (var pair in map) Flatten(pair.Value, before + pair.Key, leaves);
            else if (list != null && list.Count > 0)
                for (var place = 0; place < list.Count; place++) Flatten(list[place], before + place, leaves);
            else leaves[path] = map != null || list != null ? new Empty() : value;
        }
    }
}
