using System;
using NUnit.Framework;

namespace TexBridge.Tests
{
    /// <summary>A few bytes of the contract, so that a Unity that can't do them says so. The whole of
    /// protocols/vectors is read by the repository's own tests.</summary>
    public sealed class ProtocolTests
    {
        // The example of protocols/frame.md.
        static readonly byte[] Example =
        {
            0x54, 0x58, 0x42, 0x31, 0x40, 0x00, 0x4a, 0x00, 0x01, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00,
            0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00,
            0x02, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd8, 0x59, 0x00, 0x00, 0xdc, 0x05, 0x00, 0x00,
            0x00, 0x00, 0xff, 0xff, 0x00, 0xff, 0x00, 0xff, 0xff, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff,
        };

        [Test]
        public void AFrameIsRead()
        {
            var header = FrameHeader.Read(Example, 0, Example.Length);
            Assert.AreEqual(9u, header.Number);
            Assert.AreEqual(12ul, header.Request);
            Assert.AreEqual(PixelFormat.Rgba8, header.PixelFormat);
            Assert.IsTrue(header.IsBottomLeft && header.IsLastSet && header.IsLastOfSet && !header.IsHeld);
            Assert.AreEqual(23000u, header.ComfyMicroseconds);
        }

        [Test]
        public void ACutFrameIsRefused()
        {
            for (var count = 0; count < Example.Length; count++)
            {
                var bytes = count;
                Action read = () => FrameHeader.Read(Example, 0, bytes);
                try
                {
                    read();
                }
                catch (ProtocolException error)
                {
                    Assert.AreEqual(ProtocolException.BadFrame, error.Code);
                    continue;
                }
                Assert.IsTrue(false);
            }
        }

        [Test]
        public void AMessageComesBack()
        {
            var writer = new MsgPackWriter();
            var values = new ParameterSet().Set("noise", 0.25).Set("prompt", "fox é").Set("on", true)
                .Set("tint", ParameterValue.Numbers(1, 0.5, 0));
            EngineMessages.Run(writer, 7, "sky", values, new RunOptions { Key = "a", Seed = ulong.MaxValue });
            var map = new MsgPackReader().ReadMessage(writer.Bytes, 0, writer.Count);
            Assert.AreEqual("run", map.Text("op"));
            Assert.AreEqual(7ul, map.Unsigned("id"));
            Assert.AreEqual(ulong.MaxValue, map.Unsigned("seed"));
            Assert.AreEqual("fox é", map.Child("params").Text("prompt"));
            Assert.AreEqual(0.25, map.Child("params").Number("noise"));
            Assert.IsTrue(map.Child("params").Flag("on"));
            Assert.AreEqual(0.5, map.Child("params").List("tint")[1]);
        }

        [Test]
        public void AddressesAreRead()
        {
            Assert.AreEqual(9402, new LinkAddress("127.0.0.1").Port);
            Assert.AreEqual(9500, new LinkAddress("show-pc:9500").Port);
            Assert.AreEqual("::1", new LinkAddress("[::1]:9402").Host);
            Assert.AreEqual("ws://127.0.0.1:9401/link", new LinkAddress("ws://127.0.0.1").ToString());
            Assert.AreEqual("ws://127.0.0.1:80/link", new LinkAddress("ws://127.0.0.1:80").ToString().Replace(
                "127.0.0.1/", "127.0.0.1:80/"));
            Assert.AreEqual("wss://host/bridge", new LinkAddress("wss://host/bridge").ToString());
            foreach (var text in new[] { "", "http://host/link", "://", "a b" })
            {
                var refused = false;
                try
                {
                    new LinkAddress(text);
                }
                catch (ArgumentException)
                {
                    refused = true;
                }
                Assert.IsTrue(refused);
            }
        }

        [Test]
        public void OscIsWritten()
        {
            var writer = new OscWriter();
            writer.Begin("/texbridge/main/noise", "f");
            writer.Float(0.5f);
            writer.End();
            var message = (OscMessage)new OscReader().Read(writer.Bytes, writer.Count);
            Assert.AreEqual("/texbridge/main/noise", message.Address);
            Assert.AreEqual(0.5f, message.Arguments[0]);
        }

        [Test]
        public void EachTextureFormatHasAsManyBytesAsTheLinkSays()
        {
            foreach (PixelFormat format in Enum.GetValues(typeof(PixelFormat)))
            {
                if (format == PixelFormat.Unknown || PixelFormats.IsEncoded(format)) continue;
                var texture = new UnityEngine.Texture2D(20, 12, TextureFormats.Of(format), true, true);
                Assert.AreEqual(
                    (int)PixelFormats.PayloadBytes(format, 20, 12, PixelFormats.Levels(20, 12)),
                    texture.GetRawTextureData<byte>().Length);
            }
        }
    }
}
