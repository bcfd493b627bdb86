// The game's one link to a bridge, and the Blueprint nodes that are for no single picture.
#pragma once

#include "CoreMinimal.h"
#include "Subsystems/GameInstanceSubsystem.h"
#include "Tickable.h"

#include <memory>

#include "TexBridgeSubsystem.generated.h"

namespace texbridge
{
	class Session;
	class TcpClient;
	class Value;
}
class FTexBridgeWebSocket;

DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTexBridgeLinkChanged, bool, bIsConnected, const FString&, Message);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_FourParams(FTexBridgeFinished, const FString&, Stream, const FString&, Outcome, int32, Number, const FString&, Message);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(FTexBridgeProgress, float, Value, float, Max, const FString&, Node);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(FTexBridgeError, const FString&, Stream, int32, Code, const FString&, Message);

UCLASS()
class TEXBRIDGE_API UTexBridgeSubsystem : public UGameInstanceSubsystem, public FTickableGameObject
{
	GENERATED_BODY()

public:
	UTexBridgeSubsystem();
	virtual ~UTexBridgeSubsystem() override;

	/** Connect to a bridge, and go on trying. "host:port" is TCP, "ws://host:port/link" or "wss://..." WebSocket. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge", meta = (AdvancedDisplay = "Token,bSharedMemory"))
	void Connect(const FString& Address = TEXT("127.0.0.1:9402"), const FString& Token = TEXT(""), bool bSharedMemory = true);

	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void Disconnect();

	UFUNCTION(BlueprintPure, Category = "TexBridge")
	bool IsConnected() const;

	/** The workflows that the bridge has, by their names. */
	UFUNCTION(BlueprintPure, Category = "TexBridge")
	TArray<FString> GetWorkflows() const;

	UFUNCTION(BlueprintCallable, Category = "TexBridge|Parameters")
	void SetNumber(const FString& Stream, const FString& Parameter, double Value);

	/** Numbers without a fraction: seeds, steps. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge|Parameters")
	void SetInteger(const FString& Stream, const FString& Parameter, int64 Value);

	UFUNCTION(BlueprintCallable, Category = "TexBridge|Parameters")
	void SetBool(const FString& Stream, const FString& Parameter, bool bValue);

	/** Prompts and choices. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge|Parameters")
	void SetText(const FString& Stream, const FString& Parameter, const FString& Value);

	/** A linear colour, as the engine has them; it goes out sRGB-encoded, as the bridge wants it. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge|Parameters")
	void SetColor(const FString& Stream, const FString& Parameter, FLinearColor Value);

	/** One picture with the values that hold. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void Run(const FString& Stream);

	/** Make pictures by itself, or stop. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void SetLive(const FString& Stream, bool bOn, float FadeSeconds = 0.0f);

	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void SetFreeze(const FString& Stream, bool bOn, float FadeSeconds = 0.0f);

	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void SetBlackout(const FString& Stream, bool bOn, float FadeSeconds = 0.0f);

	/** Everything stops now, for everybody, until Resume. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void Panic();

	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void Resume();

	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgeLinkChanged OnLinkChanged;

	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgeFinished OnFinished;

	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgeProgress OnProgress;

	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgeError OnError;

	/** For C++: null until Connect. */
	const std::shared_ptr<texbridge::Session>& GetSession() const { return Session; }

	/** Whether frames come while the game thread waits: over TCP, which has threads of its own. */
	bool CanWait() const { return Tcp != nullptr; }

	// USubsystem
	virtual void Deinitialize() override;

	// FTickableGameObject
	virtual void Tick(float DeltaTime) override;
	virtual bool IsTickable() const override { return Session != nullptr; }
	virtual bool IsTickableWhenPaused() const override { return true; }
	virtual ETickableTickType GetTickableTickType() const override;
	virtual TStatId GetStatId() const override;

private:
	void SetValue(const FString& Stream, const FString& Parameter, const texbridge::Value& Value);
	void Switch(const char* Op, const FString& Stream, bool bOn, float FadeSeconds);

	std::shared_ptr<texbridge::Session> Session;
	std::unique_ptr<texbridge::TcpClient> Tcp;
	std::unique_ptr<FTexBridgeWebSocket> WebSocket;
};
