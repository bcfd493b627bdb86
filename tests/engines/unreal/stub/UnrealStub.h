// What the plugin uses of Unreal Engine 5, by name and signature as the public documentation has it, and nothing behind
// it: the plugin's sources are parsed with it, never linked or run. Written for this test; no line is the engine's.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cwchar>
#include <functional>
#include <string>

using uint8 = std::uint8_t;
using int32 = std::int32_t;
using uint32 = std::uint32_t;
using int64 = std::int64_t;
using uint64 = std::uint64_t;
using SIZE_T = std::size_t;
using TCHAR = wchar_t;
#define TEXT(text) L##text
#define TEXBRIDGE_API

// Read by the engine's header tool; the compiler sees nothing of them.
#define UCLASS(...)
#define UENUM(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define UMETA(...)
#define GENERATED_BODY() using Super = StubBase;

struct FString {
    FString() = default;
    FString(const TCHAR* text);
    const TCHAR* operator*() const;
    bool IsEmpty() const;
    bool operator==(const FString&) const;
    bool operator!=(const FString&) const;
    bool StartsWith(const TCHAR*) const;
    bool Contains(const TCHAR*) const;
    template <typename... Rest> static FString Printf(const TCHAR*, Rest...);
    bool Split(const TCHAR*, FString*, FString*, int, int) const;
};
namespace ESearchCase { enum Type { CaseSensitive, IgnoreCase }; }
namespace ESearchDir { enum Type { FromStart, FromEnd }; }
struct FCString { static int32 Atoi(const TCHAR*); };
struct FTCHARToUTF8 {
    explicit FTCHARToUTF8(const TCHAR*);
    const char* Get() const;
    int32 Length() const;
};
const TCHAR* UTF8_TO_TCHAR(const char*);
struct FName {
    FName() = default;
    FName(const TCHAR*);
    bool IsNone() const;
};
template <typename T> struct TArray {
    void Add(const T&);
    T* begin();
    T* end();
};
template <typename T> using TFunction = std::function<T>;
template <typename T> struct TSharedPtr {
    TSharedPtr() = default;
    bool IsValid() const;
    T* operator->() const;
};
template <typename T> struct TSharedRef {
    operator TSharedPtr<T>() const;
};
template <typename T> struct TObjectPtr {
    TObjectPtr() = default;
    TObjectPtr(T*);
    TObjectPtr(std::nullptr_t);
    T* operator->() const;
    operator T*() const;
};
struct FIntPoint {
    FIntPoint(int32 x, int32 y) : X(x), Y(y) {}
    int32 X, Y;
};
struct FLinearColor {
    float R = 0, G = 0, B = 0, A = 1;
    static const FLinearColor White, Black;
};
struct FMath {
    static float Max(float, float);
    static int32 Max(int32, int32);
    static float Clamp(float, float, float);
    static float Pow(float, float);
};
struct FPlatformTime { static uint32 Cycles(); };
struct FEngineVersion {
    static const FEngineVersion& Current();
    FString ToString() const;
};

#define DEFINE_LOG_CATEGORY_STATIC(name, ...) [[maybe_unused]] static const int name = 0
template <typename... Rest> void StubLog(const TCHAR*, const Rest&...);
#define UE_LOG(category, verbosity, ...) StubLog(__VA_ARGS__)

template <typename... Arguments> struct TStubDelegate {
    void Broadcast(Arguments...);
    void Clear();
    template <typename Functor> int AddLambda(Functor functor) {
        std::function<void(Arguments...)> checked = functor;
        return checked ? 1 : 0;
    }
};
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(name, T1, N1) using name = TStubDelegate<T1>
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(name, T1, N1, T2, N2) using name = TStubDelegate<T1, T2>
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(name, T1, N1, T2, N2, T3, N3) using name = TStubDelegate<T1, T2, T3>
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_FourParams(name, T1, N1, T2, N2, T3, N3, T4, N4) \
    using name = TStubDelegate<T1, T2, T3, T4>

struct UObject {
    virtual ~UObject();
    bool IsTemplate() const;
};
struct USubsystem : UObject { virtual void Deinitialize(); };
struct UGameInstanceSubsystem : USubsystem { using StubBase = UGameInstanceSubsystem; };
struct UGameInstance : UObject { template <typename T> T* GetSubsystem() const; };
struct UWorld : UObject { UGameInstance* GetGameInstance() const; };

struct TStatId {};
#define RETURN_QUICK_DECLARE_CYCLE_STAT(name, group) return TStatId()
enum class ETickableTickType : uint8 { Conditional, Always, Never };
struct FTickableGameObject {
    virtual ~FTickableGameObject();
    virtual void Tick(float) = 0;
    virtual bool IsTickable() const;
    virtual bool IsTickableWhenPaused() const;
    virtual ETickableTickType GetTickableTickType() const;
    virtual TStatId GetStatId() const = 0;
};

namespace EEndPlayReason { enum Type { Destroyed, Quit }; }
enum ELevelTick { LEVELTICK_All };
enum ETickingGroup { TG_PrePhysics, TG_PostUpdateWork };
struct FActorComponentTickFunction {
    bool bCanEverTick = false;
    ETickingGroup TickGroup = TG_PrePhysics;
};
struct UMeshComponent;
struct AActor : UObject { template <typename T> void GetComponents(TArray<T>&) const; };
struct UActorComponent : UObject {
    using StubBase = UActorComponent;
    FActorComponentTickFunction PrimaryComponentTick;
    UWorld* GetWorld() const;
    AActor* GetOwner() const;
    virtual void EndPlay(const EEndPlayReason::Type);
    virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction*);
};
struct UTexture : UObject { uint8 SRGB : 1; };
enum EPixelFormat { PF_B8G8R8A8 };
struct FTextureResource;
struct FUpdateTextureRegion2D {
    FUpdateTextureRegion2D(uint32, uint32, int32, int32, uint32, uint32);
};
struct UTexture2D : UTexture {
    static UTexture2D* CreateTransient(int32, int32, EPixelFormat = PF_B8G8R8A8);
    int32 GetSizeX() const;
    int32 GetSizeY() const;
    FTextureResource* GetResource();
    void UpdateResource();
    void UpdateTextureRegions(int32, uint32, const FUpdateTextureRegion2D*, uint32, uint32, uint8*,
                              TFunction<void(uint8*, const FUpdateTextureRegion2D*)>);
};
struct UMaterialInstanceDynamic : UObject { void SetTextureParameterValue(FName, UTexture*); };
struct UMeshComponent : UActorComponent {
    int32 GetNumMaterials() const;
    UMaterialInstanceDynamic* CreateDynamicMaterialInstance(int32);
};

struct IWebSocket {
    virtual ~IWebSocket();
    virtual void Connect() = 0;
    virtual void Close(int32 = 1000, const FString& = FString()) = 0;
    virtual void Send(const void*, SIZE_T, bool = false) = 0;
    virtual TStubDelegate<>& OnConnected() = 0;
    virtual TStubDelegate<const FString&>& OnConnectionError() = 0;
    virtual TStubDelegate<int32, const FString&, bool>& OnClosed() = 0;
    virtual TStubDelegate<const void*, SIZE_T, bool>& OnBinaryMessage() = 0;
};
struct FWebSocketsModule { TSharedRef<IWebSocket> CreateWebSocket(const FString&, const FString& = FString()); };
struct FModuleManager { template <typename T> static T& LoadModuleChecked(const FName); };
struct FDefaultModuleImpl {};
#define IMPLEMENT_MODULE(type, name) type* Make##name();
