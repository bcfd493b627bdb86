// OscJack as a Unity project would use it: what is to be sent comes by lines, what is heard goes out by lines.
//   Jack send HOST PORT      lines: ADDRESS, then i, f or s, then the values, all separated by tabs; "end" ends it
//   Jack hear PORT           prints "ready", then ADDRESS COUNT value ...; until standard input ends
using System;
using System.Globalization;
using System.Text;
using OscJack;

static class Jack
{
    static int Main(string[] words)
    {
        Console.InputEncoding = Console.OutputEncoding = new UTF8Encoding(false);
        CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
        return words[0] == "send" ? Send(words[1], int.Parse(words[2])) : Hear(int.Parse(words[1]));
    }

    static int Send(string host, int port)
    {
        using (var client = new OscClient(host, port))
        {
            string line;
            while ((line = Console.ReadLine()) != null && line != "end")
            {
                var parts = line.Split('\t');
                var address = parts[0];
                var n = parts.Length - 2;
                if (n < 1) client.Send(address);
                else if (parts[1] == "s") client.Send(address, parts[2]);
                else if (parts[1] == "i" && n == 1) client.Send(address, int.Parse(parts[2]));
                else if (parts[1] == "i" && n == 2) client.Send(address, int.Parse(parts[2]), int.Parse(parts[3]));
                else if (parts[1] == "i")
                    client.Send(address, int.Parse(parts[2]), int.Parse(parts[3]), int.Parse(parts[4]));
                else if (n == 1) client.Send(address, F(parts[2]));
                else if (n == 2) client.Send(address, F(parts[2]), F(parts[3]));
                else if (n == 3) client.Send(address, F(parts[2]), F(parts[3]), F(parts[4]));
                else client.Send(address, F(parts[2]), F(parts[3]), F(parts[4]), F(parts[5]));
                Console.WriteLine("sent");
            }
        }
        return 0;
    }

    static float F(string text)
    {
        return float.Parse(text, CultureInfo.InvariantCulture);
    }

    static int Hear(int port)
    {
        using (var server = new OscServer(port))
        {
            server.MessageDispatcher.AddCallback(string.Empty, Heard);
            Console.WriteLine("ready");
            while (Console.ReadLine() != null) { }
        }
        return 0;
    }

    static void Heard(string address, OscDataHandle data)
    {
        var line = new StringBuilder(address).Append('\t').Append(data.GetElementCount());
        for (var place = 0; place < data.GetElementCount(); place++)
            line.Append('\t').Append(data.GetElementAsString(place));
        Console.WriteLine(line);
    }
}
