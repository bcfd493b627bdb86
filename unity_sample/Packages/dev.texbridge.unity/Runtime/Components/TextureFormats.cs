using System;
using UnityEngine;

namespace TexBridge
{
    /// <summary>Unity's names of the link's pixel formats. Source: protocols/registry.md.</summary>
    public static class TextureFormats
    {
        /// <exception cref="NotSupportedException">Unity has no such texture.</exception>
        public static TextureFormat Of(PixelFormat format)
        {
            switch (format)
            {
                case PixelFormat.Rgba8: return TextureFormat.RGBA32;
                case PixelFormat.Bgra8: return TextureFormat.BGRA32;
                case PixelFormat.Rgb8: return TextureFormat.RGB24;
                case PixelFormat.R8: return TextureFormat.R8;
                case PixelFormat.Rgba16F: return TextureFormat.RGBAHalf;
                case PixelFormat.Rgba32F: return TextureFormat.RGBAFloat;
                case PixelFormat.R16: return TextureFormat.R16;
                case PixelFormat.R16F: return TextureFormat.RHalf;
                case PixelFormat.R32F: return TextureFormat.RFloat;
                case PixelFormat.Bc1: return TextureFormat.DXT1;
                case PixelFormat.Bc3: return TextureFormat.DXT5;
                case PixelFormat.Bc7: return TextureFormat.BC7;
                default: throw new NotSupportedException("no texture of format " + (int)format);
            }
        }
    }
}
