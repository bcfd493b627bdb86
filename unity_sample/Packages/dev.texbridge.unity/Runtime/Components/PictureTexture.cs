using Unity.Collections;
using UnityEngine;

namespace TexBridge
{
    /// <summary>A Texture2D for the pictures of one output, made anew only when size or format change. For the main thread.</summary>
    public sealed class PictureTexture
    {
        PixelFormat made;
        bool madeLinear;

        /// <summary>Null before the first picture.</summary>
        public Texture2D Texture { get; private set; }

        /// <summary>Make `Texture` fit a picture; true if it is another one now, with this name.</summary>
        public bool Fit(Frame frame, string name)
        {
            var before = Texture;
            var header = frame.Header;
            if (!PixelFormats.IsEncoded(header.PixelFormat))
            {
                if (!Fits(ref header)) Make(ref header, name);
            }
            else if (Texture == null) Use(new Texture2D(2, 2), name);
            return Texture != before;
        }

        /// <summary>Upload a picture that it fits.</summary>
        public void Upload(Frame frame)
        {
            if (PixelFormats.IsEncoded(frame.Header.PixelFormat))
            {
                Texture.LoadImage(frame.ToArray());
                return;
            }
            NativeArray<byte>.Copy(
                frame.Bytes, frame.PayloadOffset, Texture.GetRawTextureData<byte>(), 0, frame.PayloadBytes);
            Texture.Apply(false);
        }

        public void Destroy()
        {
            if (Texture != null) Object.Destroy(Texture);
            Texture = null;
        }

        bool Fits(ref FrameHeader header)
        {
            return Texture != null && Texture.width == header.Width && Texture.height == header.Height
                && made == header.PixelFormat && madeLinear == header.IsLinear
                && Texture.mipmapCount > 1 == header.Mips > 1;
        }

        void Make(ref FrameHeader header, string name)
        {
            made = header.PixelFormat;
            madeLinear = header.IsLinear;
            Use(new Texture2D((int)header.Width, (int)header.Height, TextureFormats.Of(header.PixelFormat),
                header.Mips > 1, header.IsLinear), name);
        }

        void Use(Texture2D texture, string name)
        {
            Destroy();
            texture.name = name;
            texture.wrapMode = TextureWrapMode.Clamp;
            Texture = texture;
        }
    }
}
